"""Tells the kind of an image by its first bytes."""

import struct
from dataclasses import dataclass
from pathlib import Path

from installs.images import iso
from installs.images.contract import BadImage, disk, squashfs
from installs.models import Image

EXT4_SUPERBLOCK = 1024  # ext4(5): offset of the superblock, and of fields in it
EXT4_MAGIC, EXT4_MAGIC_AT = 0xEF53, 0x38
ZSTD_MAGIC = 0xFD2FB528  # RFC 8878, 3.1.1
GZIP_MAGIC = b"\x1f\x8b"
DISKS = (Image.Kind.RAW, Image.Kind.RAW_ZST, Image.Kind.RAW_GZ)


class ImageProblem(Exception):
    """The file cannot be used. The message says why and what to do."""


@dataclass(frozen=True)
class Contents:
    kind: Image.Kind
    unpacked_bytes: int | None
    """None when the file does not tell."""


def look_into(path: Path, label: str = "") -> Contents:
    """Tell the kind of an image by its first bytes. Raises ImageProblem for what no method can install."""
    with path.open("rb") as file:
        head = file.read(EXT4_SUPERBLOCK + 0x200)
    if len(head) >= EXT4_SUPERBLOCK + 0x158 and _u16(head, EXT4_SUPERBLOCK + EXT4_MAGIC_AT) == EXT4_MAGIC:
        return Contents(Image.Kind.EXT4, _ext4_used_bytes(head[EXT4_SUPERBLOCK:]))
    if len(head) >= 18 and _u32(head, 0) == ZSTD_MAGIC:
        if _is_disk(_first_bytes(path, Image.Kind.RAW_ZST)):
            return Contents(Image.Kind.RAW_ZST, None)
        return Contents(Image.Kind.TAR_ZST, _zstd_content_bytes(head))
    if squashfs.is_one(head):
        return Contents(Image.Kind.SQUASHFS, path.stat().st_size)
    if head[:2] == GZIP_MAGIC and _is_disk(_first_bytes(path, Image.Kind.RAW_GZ)):
        return Contents(Image.Kind.RAW_GZ, None)
    if iso.is_one(path):  # before disks: most ISO images can be written to a disk as they are, and then look like one
        return Contents(Image.Kind.ISO, None)
    if _is_disk(head):
        return Contents(Image.Kind.RAW, path.stat().st_size)
    raise ImageProblem(
        f"{label or path.name} is of no known kind: Dodai takes an ext4 file system, a tar archive packed by zstd, a "
        "squashfs, the image of a disk (raw, raw packed by zstd or gzip, or qcow2), or the ISO image of an installer"
    )


def _is_disk(head: bytes) -> bool:
    """Whether these first bytes are those of a disk that BIOS or UEFI could start from."""
    return head[510:512] == b"\x55\xaa"


def _first_bytes(path: Path, kind: Image.Kind) -> bytes:
    """Unpacked; empty where that does not work, which whoever reads it through says better."""
    with path.open("rb") as file:
        try:
            return next(disk.pieces(file, kind), b"")
        except BadImage:
            return b""


def _ext4_used_bytes(superblock: bytes) -> int:
    blocks = _u32(superblock, 0x04) | _u32(superblock, 0x150) << 32  # the high halves are 0 without 64bit
    free = _u32(superblock, 0x0C) | _u32(superblock, 0x158) << 32
    block_bytes = 1024 << _u32(superblock, 0x18)
    return max(blocks - free, 0) * block_bytes


def _zstd_content_bytes(head: bytes) -> int | None:
    """Frame_Content_Size of the first frame, None when the compressor did not know it (RFC 8878, 3.1.1.1)."""
    descriptor = head[4]
    size_flag, single_segment, dictionary_flag = descriptor >> 6, bool(descriptor & 0x20), descriptor & 3
    at = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[dictionary_flag]
    match size_flag:
        case 0:
            return head[at] if single_segment else None
        case 1:
            return _u16(head, at) + 256
        case 2:
            return _u32(head, at)
    return int(struct.unpack_from("<Q", head, at)[0])


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
