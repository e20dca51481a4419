"""Reads an ext4 file system (also ext2 and ext3) without mounting it. Layout: kernel.org, "ext4 Data Structures".

Only what a look needs: superblock, group descriptors, inodes, extents and block maps, linear folders (a hashed folder
is a linear one to who reads its leaves), links, inline data. Checksums are not compared: the file has its own digest.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from installs.images.contract.tree import BadImage, Collector, Entry, Files, Kind

ROOT_INODE = 2
SUPERBLOCK_AT, MAGIC = 1024, 0xEF53
INCOMPAT_META_BG, INCOMPAT_64BIT, INCOMPAT_RECOVER, INCOMPAT_JOURNAL = 0x10, 0x80, 0x4, 0x8
EXTENTS_FLAG, INLINE_FLAG = 0x80000, 0x10000000
ATTRIBUTES_MAGIC, SYSTEM_DATA = 0xEA020000, (7, b"data")
EXTENT_MAGIC, MAX_EXTENT_DEPTH = 0xF30A, 5
MAX_DEPTH = 64
MAX_FOLDER_BYTES = 64 << 20
TYPES = {0x4000: Kind.FOLDER, 0x8000: Kind.FILE, 0xA000: Kind.LINK}


def read(path: Path) -> Files:
    """Raises BadImage where the file system is broken or of a make that cannot be read."""
    with path.open("rb") as file:
        try:
            return _Reader(file, path.stat().st_size).files()
        except (struct.error, IndexError, OverflowError, ValueError, RecursionError) as problem:
            raise BadImage(f"its file system is damaged ({problem}): fetch the file again") from problem


class _Reader:
    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        block = self._at(SUPERBLOCK_AT, 1024)
        if struct.unpack_from("<H", block, 0x38)[0] != MAGIC:
            raise BadImage("it holds no ext4 file system")
        self._inodes, self._blocks = struct.unpack_from("<II", block, 0)
        self._first_block = struct.unpack_from("<I", block, 0x14)[0]
        shift = struct.unpack_from("<I", block, 0x18)[0]
        self._blocks_a_group, _, self._inodes_a_group = struct.unpack_from("<III", block, 0x20)
        self._inode_bytes = (
            struct.unpack_from("<H", block, 0x58)[0] if struct.unpack_from("<I", block, 0x4C)[0] else 128
        )
        self._features = struct.unpack_from("<I", block, 0x60)[0]
        self._check(shift)
        self._block_bytes = 1024 << shift
        is_64bit = self._features & INCOMPAT_64BIT
        self._descriptor_bytes = max(struct.unpack_from("<H", block, 0xFE)[0], 64) if is_64bit else 32
        self._collector = Collector()

    def files(self) -> Files:
        self._folder(ROOT_INODE, "", ())
        return self._collector.files

    def _check(self, shift: int) -> None:
        if shift > 6 or not self._inodes_a_group or not 128 <= self._inode_bytes <= 4096:
            raise BadImage("its superblock is damaged: fetch the file again")
        if self._features & (INCOMPAT_META_BG | INCOMPAT_JOURNAL):
            raise BadImage("its ext4 has a feature that cannot be looked into (meta_bg or a journal device)")

    def _folder(self, number: int, path: str, above: tuple[int, ...]) -> None:
        if len(above) > MAX_DEPTH or number in above:
            raise BadImage("its folders lead in a circle")
        for name, child in self._names(number):
            self._take(child, f"{path}/{name}".lstrip("/"), (*above, number))

    def _take(self, number: int, path: str, above: tuple[int, ...]) -> None:
        inode = self._inode(number)
        kind, size = TYPES.get(struct.unpack_from("<H", inode, 0)[0] & 0xF000, Kind.OTHER), _size(inode)
        if kind is Kind.FOLDER:
            self._collector.add(path, Entry(kind))
            self._folder(number, path, above)
        elif kind is Kind.LINK:
            target = inode[0x28 : 0x28 + size] if size < 60 else self._content(inode, 4096)
            self._collector.add(path, Entry(kind, target=target.decode(errors="replace")))
        elif kind is Kind.FILE:
            wanted = self._collector.wants(path, size)
            self._collector.add(path, Entry(kind, size, content=self._content(inode, size) if wanted else None))
        else:
            self._collector.add(path, Entry(kind))

    def _names(self, number: int) -> Iterator[tuple[str, int]]:
        inode = self._inode(number)
        size = _size(inode)
        if size > MAX_FOLDER_BYTES:
            raise BadImage("one of its folders is absurdly large")
        data = self._content(inode, size)
        inline = bool(struct.unpack_from("<I", inode, 0x20)[0] & INLINE_FLAG)
        at = 4 if inline else 0  # in the inode the folder above stands first, without a name
        while at + 8 <= len(data):
            child, length, name_bytes, _ = struct.unpack_from("<IHBB", data, at)
            if length < 8:
                raise BadImage("one of its folders is damaged: fetch the file again")
            name = data[at + 8 : at + 8 + name_bytes]
            if child and name not in (b".", b"..") and b"/" not in name and b"\0" not in name and name:
                yield name.decode(errors="surrogateescape"), child
            at += length

    def _inode(self, number: int) -> bytes:
        if not 0 < number <= self._inodes:
            raise BadImage("one of its folders names a file that does not exist")
        group, index = divmod(number - 1, self._inodes_a_group)
        descriptors = (self._first_block + 1) * self._block_bytes
        descriptor = self._at(descriptors + group * self._descriptor_bytes, self._descriptor_bytes)
        table = struct.unpack_from("<I", descriptor, 0x08)[0]
        if self._descriptor_bytes >= 64:
            table |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
        return self._at(table * self._block_bytes + index * self._inode_bytes, self._inode_bytes)

    def _content(self, inode: bytes, limit: int) -> bytes:
        size, flags = min(_size(inode), limit), struct.unpack_from("<I", inode, 0x20)[0]
        if flags & INLINE_FLAG:
            return (inode[0x28:0x64] + _inline_rest(inode))[:size]
        runs = self._extents(inode[0x28:0x64], 0) if flags & EXTENTS_FLAG else self._block_map(inode, size)
        parts: dict[int, bytes] = {}
        for first, count, block in runs:
            at = first * self._block_bytes
            if at < size:
                parts[at] = self._at(block * self._block_bytes, min(count * self._block_bytes, size - at))
        return _joined(parts, size)

    def _extents(self, node: bytes, depth: int) -> Iterator[tuple[int, int, int]]:
        """(first block of the file, how many, block on the disk)."""
        magic, entries, _, levels = struct.unpack_from("<HHHH", node, 0)
        if magic != EXTENT_MAGIC or depth > MAX_EXTENT_DEPTH or 12 * (entries + 1) > len(node):
            raise BadImage("the extents of a file are damaged: fetch the file again")
        for index in range(entries):
            if levels:
                _, low, high = struct.unpack_from("<IIH", node, 12 + 12 * index)
                block = self._at((high << 32 | low) * self._block_bytes, self._block_bytes)
                yield from self._extents(block, depth + 1)
                continue
            first, count, high, low = struct.unpack_from("<IHHI", node, 12 + 12 * index)
            if count <= 32768:  # above: reserved, reads as zeros
                yield first, count, high << 32 | low

    def _block_map(self, inode: bytes, size: int) -> Iterator[tuple[int, int, int]]:
        """ext2's way: twelve blocks, then blocks of block numbers up to three deep."""
        numbers, needed = struct.unpack_from("<15I", inode, 0x28), -(-size // self._block_bytes)
        leaves = self._mapped(numbers, needed)
        for index, block in enumerate(leaves):
            if block:
                yield index, 1, block

    def _mapped(self, numbers: tuple[int, ...], needed: int) -> Iterator[int]:
        given = 0
        for level, roots in ((0, numbers[:12]), (1, numbers[12:13]), (2, numbers[13:14]), (3, numbers[14:15])):
            for root in roots:
                for block in self._leaves(root, level):
                    if given == needed:
                        return
                    given += 1
                    yield block

    def _leaves(self, block: int, level: int) -> Iterator[int]:
        if level == 0:
            yield block
            return
        words = self._block_bytes // 4
        if block == 0:
            yield from (0 for _ in range(words**level))
            return
        for number in struct.unpack(f"<{words}I", self._at(block * self._block_bytes, self._block_bytes)):
            yield from self._leaves(number, level - 1)

    def _at(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > self._size:
            raise BadImage("it ends before its file system does: fetch the file again")
        self._file.seek(offset)
        return self._file.read(length)


def _inline_rest(inode: bytes) -> bytes:
    """What of inline data stands behind the inode, as the attribute system.data."""
    start = 128 + (struct.unpack_from("<H", inode, 0x80)[0] if len(inode) > 128 else 0)
    if len(inode) < start + 4 or struct.unpack_from("<I", inode, start)[0] != ATTRIBUTES_MAGIC:
        return b""
    at = first = start + 4
    while at + 16 <= len(inode) and inode[at]:
        name_bytes, index, offset, _, size = struct.unpack_from("<BBHII", inode, at)
        if (index, inode[at + 16 : at + 16 + name_bytes]) == SYSTEM_DATA:
            return inode[first + offset : first + offset + size]
        at += -(-(16 + name_bytes) // 4) * 4
    return b""


def _size(inode: bytes) -> int:
    return int(struct.unpack_from("<I", inode, 0x04)[0] | struct.unpack_from("<I", inode, 0x6C)[0] << 32)


def _joined(parts: dict[int, bytes], size: int) -> bytes:
    """Holes are zeros."""
    whole = bytearray(size)
    for at, data in parts.items():
        whole[at : at + len(data)] = data
    return bytes(whole)
