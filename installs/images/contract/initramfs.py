"""What is in an initramfs: kernel modules and what they drive, read from its cpio archives (newc), packed or not.

Linux: Documentation/driver-api/early-userspace/buffer-format.rst. Several archives may follow each other: first
microcode unpacked, then the rest packed.
"""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import zstandard

MAX_UNPACKED_BYTES = 1 << 30
MAX_ENTRIES = 200_000
MODULE = re.compile(r"(?:^|/)([^/]+)\.ko(?:\.\w+)?$")
ALIASES = re.compile(r"(?:^|/)lib/modules/[^/]+/modules\.alias$")
HEADER_BYTES = 110
BITE_BYTES = 1 << 20


@dataclass(frozen=True)
class Contents:
    """`modules` are names as modprobe knows them; None where the archive could not be read, and `problem` says why.

    `aliases` is its modules.alias: lines `alias PATTERN MODULE`.
    """

    modules: frozenset[str] | None
    problem: str = ""
    aliases: bytes = b""


def look_into(data: bytes) -> Contents:
    """Never raises: an initramfs that cannot be read is not yet one that does not boot."""
    names: list[str] = []
    aliases = b""
    try:
        while data := data.lstrip(b"\0"):
            is_plain = data[:6] in (b"070701", b"070702")
            found, told, used = _read(data if is_plain else _unpacked(data))
            names += found
            aliases += told
            if not is_plain:
                break
            data = data[used:]
    except (_Unreadable, ValueError, EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as problem:
        return Contents(None, str(problem) or type(problem).__name__)
    modules = frozenset(_canonical(match[1]) for name in names if (match := MODULE.search(name)))
    return Contents(modules, aliases=aliases)


class _Unreadable(Exception):
    pass


def _unpacked(data: bytes) -> bytes:
    """In small bites, so that a bomb is noticed while it is small."""
    parts, total = [], 0
    for part in _bites(data):
        total += len(part)
        if total > MAX_UNPACKED_BYTES:
            raise _Unreadable("it unpacks to more than 1 GiB")
        parts.append(part)
    return b"".join(parts)


def _bites(data: bytes) -> Iterator[bytes]:
    stream: io.BufferedIOBase | IO[bytes] | zstandard.ZstdDecompressionReader
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        stream = zstandard.ZstdDecompressor(max_window_size=128 << 20).stream_reader(io.BytesIO(data))
    elif data.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=io.BytesIO(data))
    elif data.startswith(b"BZh"):
        stream = bz2.BZ2File(io.BytesIO(data))
    elif data.startswith((b"\xfd7zXZ", b"\x5d\0\0")):
        return (yield from _of_lzma(data))
    else:
        lz4 = data.startswith((b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18"))
        raise _Unreadable("it is packed by lz4, which is not looked into" if lz4 else "nobody knows how it is packed")
    while part := stream.read(BITE_BYTES):
        yield part


def _of_lzma(data: bytes) -> Iterator[bytes]:
    unpacker = lzma.LZMADecompressor(memlimit=512 << 20)
    part = unpacker.decompress(data, BITE_BYTES)
    while part or not (unpacker.eof or unpacker.needs_input):
        yield part
        part = b"" if unpacker.eof else unpacker.decompress(b"", BITE_BYTES)


def _read(data: bytes) -> tuple[list[str], bytes, int]:
    """The names in one archive, its modules.alias, and how many bytes it takes."""
    names: list[str] = []
    aliases = b""
    at = 0
    while len(names) < MAX_ENTRIES:
        header = data[at : at + HEADER_BYTES]
        if len(header) < HEADER_BYTES or header[:6] not in (b"070701", b"070702"):
            raise _Unreadable("its archive is cut off or damaged")
        size, name_bytes = int(header[54:62], 16), int(header[94:102], 16)
        name = data[at + HEADER_BYTES : at + HEADER_BYTES + name_bytes - 1].decode(errors="replace")
        begin = _aligned(at + HEADER_BYTES + name_bytes)
        at = _aligned(begin + size)
        if name == "TRAILER!!!":
            return names, aliases, at
        if ALIASES.search(name):
            aliases += data[begin : begin + size] + b"\n"
        names.append(name)
    raise _Unreadable("its archive has too many files")


def _aligned(at: int) -> int:
    return -(-at // 4) * 4


def _canonical(name: str) -> str:
    return name.replace("-", "_")
