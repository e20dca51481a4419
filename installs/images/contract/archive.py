"""Reads a tar archive packed by zstd, once through, and keeps what is wanted."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from installs.images.contract.tree import BadImage, Collector, Entry, Files, Kind, normal

MAX_UNPACKED_BYTES = 256 << 30
MAX_RATIO = 400  # zeros pack a thousandfold and more; file trees hardly ever tenfold
RATIO_FROM_BYTES = 1 << 30  # below this nobody is hurt
MAX_WINDOW_BYTES = 128 << 20  # what the ramdisk's own zstd accepts without being asked

Told = Callable[[int, int], None]


def read(path: Path, told: Told = lambda done, total: None) -> Files:
    """Raises BadImage: truncated, a bomb, no tar, or members that would leave the tree."""
    collector, size = Collector(), path.stat().st_size
    with path.open("rb") as file:
        unpacked = _Unpacked(file, size, told)
        try:
            with tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r|") as archive:
                for member in archive:
                    _take(member, archive, collector)
                    cast(Any, archive).members = []  # else it remembers them all
            unpacked.drain()
        except zstandard.ZstdError as problem:
            raise BadImage(f"zstd cannot unpack it ({problem}): fetch the file again") from problem
        except (tarfile.TarError, EOFError, UnicodeError, ValueError) as problem:
            raise BadImage(f"it is no whole tar archive ({problem}): fetch the file again") from problem
    return collector.files


def _take(member: tarfile.TarInfo, archive: tarfile.TarFile, collector: Collector) -> None:
    # As GNU tar and bsdtar write them; posix archives only.
    if any(name.startswith(("SCHILY.", "LIBARCHIVE.")) for name in member.pax_headers):
        collector.files.has_attributes = True
    path = normal(member.name)
    if path is None:
        raise BadImage(f"a file of it would land outside the tree: {member.name[:100]!r}")
    if member.isdir():
        collector.add(path, Entry(Kind.FOLDER))
    elif member.issym():
        collector.add(path, Entry(Kind.LINK, target=member.linkname))
    elif member.islnk():
        original = collector.files.entries.get(normal(member.linkname) or "")
        content = original.content if original else None
        collector.add(path, Entry(Kind.FILE, 0, content=content))
    elif member.isfile():
        content = None
        if collector.wants(path, member.size):
            source = archive.extractfile(member)
            content = source.read() if source else b""
        collector.add(path, Entry(Kind.FILE, member.size, content=content))
    else:
        collector.add(path, Entry(Kind.OTHER))


class _Unpacked:
    """The bytes of the archive, never more of them than is sane for its size."""

    def __init__(self, file: IO[bytes], size: int, told: Told) -> None:
        self._file, self._size, self._told = file, size, told
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._source = unpacker.stream_reader(file, read_across_frames=True)
        self._done = 0

    def read(self, size: int) -> bytes:
        chunk = self._source.read(size)
        self._done += len(chunk)
        if self._done > MAX_UNPACKED_BYTES:
            raise BadImage(f"it is larger than {MAX_UNPACKED_BYTES >> 30} GiB unpacked")
        if self._done > RATIO_FROM_BYTES and self._done > MAX_RATIO * self._size:
            raise BadImage(f"it unpacks to more than {MAX_RATIO} times its size, as no file tree does")
        self._told(self._file.tell(), self._size)
        return chunk

    def drain(self) -> None:
        """What follows the archive: zeros. A frame that ends too early shows only here."""
        while self.read(1 << 20):
            pass
