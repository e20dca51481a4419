"""Reads the image of a whole disk once through: how large it is unpacked, whether it can boot, and samples of it."""

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from installs.images.contract.tree import BadImage

SECTOR, MIB = 512, 1 << 20
PIECE_BYTES = 1 << 20
MAX_DISK_BYTES = 256 << 30
MAX_WINDOW_BYTES = 128 << 20  # what the ramdisk's own zstd accepts without being asked
SAMPLE_BYTES = 64 << 10
MOST_SAMPLES = 128
FIRST_STRIDE = 4 * MIB
GPT_AT, GPT_SIGNATURE, MBR_SIGNATURE = SECTOR, b"EFI PART", b"\x55\xaa"
PROTECTIVE = 0xEE
MOST_ENTRIES, ENTRY_BYTES = 128, 128

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Partition:
    """In bytes from the start of the disk."""

    number: int
    start: int
    end: int


@dataclass(frozen=True)
class DiskReport:
    """`samples` are (offset, SHA-256) of SAMPLE_BYTES each: what the machine reads back."""

    unpacked_bytes: int
    table: str
    partitions: list[Partition] = field(default_factory=list)
    samples: list[tuple[int, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What an image keeps of it."""
        return {
            "table": self.table, "partitions": len(self.partitions), "unpacked_bytes": self.unpacked_bytes,
            "samples": {"bytes": SAMPLE_BYTES, "digests": [list(sample) for sample in self.samples]},
            "problems": [], "warnings": [],
        }  # fmt: skip


def look_into(path: Path, kind: str, told: Told = lambda done, total: None) -> DiskReport:
    """Raises BadImage: cut off, damaged, a bomb, or nothing that a machine could boot from."""
    total, samples, head, at = path.stat().st_size, Samples(), b"", 0
    with path.open("rb") as file:
        for piece in pieces(file, kind):
            if len(head) < MIB:
                head += piece[: MIB - len(head)]
            samples.take(at, piece)
            at += len(piece)
            if at > MAX_DISK_BYTES:
                raise BadImage(f"it is larger than {MAX_DISK_BYTES >> 30} GiB unpacked")
            told(file.tell(), total)
    if at % SECTOR:
        raise BadImage(f"its {at} bytes are no whole number of sectors: it is cut off, or no image of a disk")
    table, partitions = _partitions(head)
    beyond = [each.number for each in partitions if each.end > at]
    if beyond:
        raise BadImage(f"its partition {beyond[0]} ends behind its end: it is cut off, fetch the file again")
    return DiskReport(at, table, partitions, samples.kept)


def pieces(file: IO[bytes], kind: str) -> Iterator[bytes]:
    """The bytes of the disk in pieces of PIECE_BYTES, the last one shorter. Raises BadImage."""
    unpackers = {"raw": _plain, "raw.zst": _unzstd, "raw.gz": _gunzip}
    waiting = bytearray()
    for some in unpackers[kind](file):
        waiting += some
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)


class Samples:
    """A sample at the beginning of every so many bytes; twice as many as soon as there are too many."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, str]] = []
        self._stride = FIRST_STRIDE

    def take(self, at: int, piece: bytes) -> None:
        """`at` is a multiple of PIECE_BYTES."""
        if at % self._stride or len(piece) < SAMPLE_BYTES:
            return
        self.kept.append((at, hashlib.sha256(piece[:SAMPLE_BYTES]).hexdigest()))
        if len(self.kept) > MOST_SAMPLES:
            self._stride *= 2
            self.kept = [sample for sample in self.kept if sample[0] % self._stride == 0]


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    while some := file.read(PIECE_BYTES):
        yield some


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    """The library ends without a word where a frame is cut off; a frame of our own behind it tells."""
    mark = os.urandom(32)
    source = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(
        cast(IO[bytes], _Followed(file, zstandard.compress(mark))), read_across_frames=True
    )
    held = b""
    try:
        while some := source.read(PIECE_BYTES):
            held += some
            if len(held) > len(mark):
                yield held[: -len(mark)]
                held = held[-len(mark) :]
    except zstandard.ZstdError as problem:
        raise BadImage(f"zstd cannot unpack it ({problem}): fetch the file again") from problem
    if held != mark:
        raise BadImage("its last zstd frame is cut off: fetch the file again")


class _Followed:
    """A file with some bytes behind it."""

    def __init__(self, file: IO[bytes], rest: bytes) -> None:
        self._file, self._rest = file, rest

    def read(self, size: int = -1) -> bytes:
        some = self._file.read(size)
        if not some:
            some, self._rest = self._rest, b""
        return some


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    """Members one after another, as gzip writes and reads them; zeros may follow."""
    packed = b""
    try:
        while packed := (packed or file.read(PIECE_BYTES)).lstrip(b"\0"):
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                yield member.decompress(packed, PIECE_BYTES)
                packed = member.unconsumed_tail or member.unused_data
                if not packed and not member.eof and not (packed := file.read(PIECE_BYTES)):
                    yield member.flush()
                    if not member.eof:
                        raise BadImage("it is cut off: fetch the file again")
    except zlib.error as problem:
        raise BadImage(f"gzip cannot unpack it ({problem}): fetch the file again") from problem


def _partitions(head: bytes) -> tuple[str, list[Partition]]:
    if head[510:512] != MBR_SIGNATURE:
        raise BadImage("it has no partition table, so no machine could boot from it: give the image of a whole disk")
    if head[GPT_AT : GPT_AT + 8] == GPT_SIGNATURE:
        return "gpt", _of_gpt(head)
    return "dos", _of_mbr(head)


def _of_mbr(head: bytes) -> list[Partition]:
    found = []
    for number in range(4):
        kind, start, count = struct.unpack_from("<4xB3xII", head, 446 + 16 * number)
        if kind == PROTECTIVE:
            raise BadImage("its partition table is damaged (a GPT should follow): fetch the file again")
        if kind and count:
            found.append(Partition(number + 1, start * SECTOR, (start + count) * SECTOR))
    if not found:
        raise BadImage("its partition table is empty")
    return found


def _of_gpt(head: bytes) -> list[Partition]:
    """UEFI Specification, 5.3."""
    size, checksum = struct.unpack_from("<II", head, GPT_AT + 12)
    first, count, width = struct.unpack_from("<QII", head, GPT_AT + 72)
    wanted = struct.unpack_from("<I", head, GPT_AT + 88)[0]
    header = bytearray(head[GPT_AT : GPT_AT + min(size, SECTOR)])
    header[16:20] = bytes(4)
    table = head[first * SECTOR : first * SECTOR + count * width] if first * SECTOR < MIB else b""
    is_sane = 92 <= size <= SECTOR and width == ENTRY_BYTES and 0 < count <= MOST_ENTRIES
    if not is_sane or zlib.crc32(header) != checksum or zlib.crc32(table) != wanted:
        raise BadImage("its partition table is damaged: fetch the file again")
    found = []
    for number in range(count):
        kind, start, last = struct.unpack_from("<16s16xQQ", table, number * width)
        if any(kind):
            found.append(Partition(number + 1, start * SECTOR, (last + 1) * SECTOR))
    if not found:
        raise BadImage("its partition table is empty")
    return found


__all__ = ["SAMPLE_BYTES", "DiskReport", "Partition", "look_into", "pieces"]
