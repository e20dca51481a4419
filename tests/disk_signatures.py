"""What disks that somebody uses carry at their beginnings, as far as blkid(8) looks: nothing here needs root."""

import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

SECTOR = 512
MAKE_SECONDS = 30


def fill(path: Path, mib: int, *, seed: int) -> None:
    """A disk full of data: a byte that changes anywhere shows."""
    content = random.Random(seed)
    with path.open("wb") as disk:
        for _ in range(mib):
            disk.write(content.randbytes(1 << 20))


def ext4(path: Path) -> None:
    _run("mke2fs", "-q", "-F", "-t", "ext4", str(path))


def raid_member(path: Path, number: int) -> None:
    """One of two disks of a RAID 1: a superblock of version 1.2, at 4 KiB (linux/raid/md_p.h)."""
    sectors = path.stat().st_size // SECTOR - 2048
    head = struct.pack("<IIII16s32sQiIQII", 0xA92B4EFC, 1, 0, 0, b"\x0d" * 16, b"node1:data", 0, 1, 0, sectors, 0, 2)
    data = struct.pack("<QQQQII16s", 2048, sectors, 8, 0, number, 0, bytes([number + 1]) * 16)
    state = struct.pack("<QQQII", 0, 1, (1 << 64) - 1, 0, 2)
    block = bytearray(
        head.ljust(128, b"\0") + data.ljust(64, b"\0") + state.ljust(64, b"\0") + struct.pack("<HH", 0, 1)
    )
    total = sum(struct.unpack(f"<{len(block) // 4}I", block))
    struct.pack_into("<I", block, 216, (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF)
    _put(path, 8 * SECTOR, block)


def lvm_volume(path: Path) -> None:
    """A physical volume's label in the second sector, with LVM2's own CRC (lib/misc/crc.c)."""
    rest = (struct.pack("<I", 32) + b"LVM2 001" + b"a1b2c3d4" * 4).ljust(SECTOR - 20, b"\0")
    crc = zlib.crc32(rest, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    _put(path, SECTOR, b"LABELONE" + struct.pack("<QI", 1, crc) + rest)


def luks_volume(path: Path) -> None:
    """The header of LUKS 1 (on-disk format, version 1.2.3, figure 1)."""
    header = struct.pack(">6sH32s32s32s", b"LUKS\xba\xbe", 1, b"aes", b"xts-plain64", b"sha256")
    _put(path, 0, header.ljust(168, b"\0") + b"3f2504e0-4f89-41d3-9a0c-0305e82c3301".ljust(40, b"\0"))


def zfs_member(path: Path) -> None:
    """Uberblocks in the first label: every KiB from 128 KiB on (ZFS on-disk specification, 1.3)."""
    for slot in range(16):
        _put(path, (128 + slot) * 1024, struct.pack("<QQQ", 0x00BAB10C, 5000, slot + 1))


def _put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as disk:
        disk.seek(offset)
        disk.write(data)


def _run(*command: str) -> None:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    subprocess.run(command, check=True, timeout=MAKE_SECONDS, env=os.environ | {"PATH": path})
