"""Whether a squashfs is whole, by its superblock (kernel.org, "Squashfs 4.0 Filesystem"). The ramdisk looks inside."""

import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from installs.images.contract.tree import BadImage

MAGIC = b"hsqs"
SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
PACKERS = {1: "gzip", 3: "lzo", 4: "xz", 6: "zstd"}  # what Debian's kernel unpacks; lzma and lz4 are not among them
BLOCK_LOGS = range(12, 21)


@dataclass(frozen=True)
class SquashfsReport:
    unpacked_bytes: int
    packed_by: str
    file_count: int
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def is_one(head: bytes) -> bool:
    return head[:4] == MAGIC


def look_into(path: Path) -> SquashfsReport:
    """`unpacked_bytes` are the file's own: it is never unpacked. Raises BadImage."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(SUPERBLOCK.size)
    if len(head) < SUPERBLOCK.size:
        raise BadImage("it is cut off: fetch the file again")
    _, inodes, _, block, _, packer, block_log, _, _, major, minor, _, used, *tables = SUPERBLOCK.unpack(head)
    if (major, minor) != (4, 0) or block_log not in BLOCK_LOGS or block != 1 << block_log or not inodes:
        raise BadImage("its superblock is damaged, or of another version than 4.0: fetch the file again")
    if packer not in PACKERS:
        raise BadImage(f"it is packed in a way that the ramdisk cannot read ({packer}): use xz, zstd or gzip")
    if not SUPERBLOCK.size < used <= size:
        raise BadImage(f"it should have {used} bytes and has {size}: it is cut off, fetch the file again")
    if any(table not in range(SUPERBLOCK.size, used) for table in (tables[0], *tables[2:4])):
        raise BadImage("its tables lie outside of it: fetch the file again")
    return SquashfsReport(size, PACKERS[packer], inodes)
