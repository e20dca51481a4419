"""Images of whole disks, made in Python: a GPT or an old table, and bytes that compress a little."""

import gzip
import random
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

import zstandard

SECTOR, MIB = 512, 1 << 20
LINUX = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")


def gpt(mib: int = 12, *, seed: int = 1) -> bytes:
    """A disk with both its tables, one partition from 1 MiB to the end but one, and zeros and noise in it by turns."""
    disk, sectors = bytearray(mib * MIB), mib * MIB // SECTOR
    struct.pack_into("<B3xB3xII", disk, 446, 0, 0xEE, 1, sectors - 1)
    disk[510:512] = b"\x55\xaa"
    table = bytearray(128 * 128)
    struct.pack_into("<16s16sQQ", table, 0, LINUX.bytes_le, uuid.UUID(int=seed).bytes_le, 2048, sectors - 2048 - 1)
    for at, other, entries in ((1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)):
        header = bytearray(92)
        struct.pack_into("<8sIIIIQQQQ16sQIII", header, 0, b"EFI PART", 0x10000, 92, 0, 0, at, other, 34, sectors - 34,
                         uuid.UUID(int=seed + 1).bytes_le, entries, 128, 128, zlib.crc32(table))  # fmt: skip
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        disk[at * SECTOR : at * SECTOR + 92] = header
        disk[entries * SECTOR : entries * SECTOR + len(table)] = table
    noise = random.Random(seed)
    for at in range(MIB, (mib - 1) * MIB, MIB):
        disk[at : at + 200_000] = noise.randbytes(100_000) * 2
    return bytes(disk)


def mbr(mib: int = 4) -> bytes:
    """A disk with the old table and one partition."""
    disk = bytearray(mib * MIB)
    struct.pack_into("<B3xB3xII", disk, 446, 0x80, 0x83, 2048, (mib - 1) * 2048)
    disk[510:512] = b"\x55\xaa"
    return bytes(disk)


def packed(disk: bytes, kind: str) -> bytes:
    """As a file of that kind: raw, raw.zst (with a checksum) or raw.gz."""
    if kind == "raw.zst":
        return zstandard.ZstdCompressor(write_checksum=True).compress(disk)
    return gzip.compress(disk, 3, mtime=0) if kind == "raw.gz" else disk


def qcow2(path: Path, disk: bytes, *options: str) -> Path:
    """By qemu-img, which is what makes them outside, too."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(disk)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, path], check=True, timeout=60)
    raw.unlink()
    return path
