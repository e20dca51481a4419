"""An initramfs: a tree of files kept as a table, written as a cpio archive of the kind the kernel reads.

The format is "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst). Owners are root and times
are zero whoever builds it, so the same tree gives the same bytes.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO


@dataclass(frozen=True)
class Entry:
    """One name of the tree; `source` is a file, its bytes, or a link's target as bytes. device is (major, minor)."""

    mode: int
    source: Path | bytes = b""
    device: tuple[int, int] = (0, 0)


class Tree:
    """Names without a leading slash; parent folders come by themselves."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def file(self, name: str, source: Path | bytes, *, mode: int = 0o644) -> None:
        self._put(name, Entry(stat.S_IFREG | mode, source))

    def program(self, name: str, source: Path | bytes) -> None:
        self.file(name, source, mode=0o755)

    def link(self, name: str, target: str) -> None:
        self._put(name, Entry(stat.S_IFLNK | 0o777, target.encode()))

    def folder(self, name: str, *, mode: int = 0o755) -> None:
        self._put(name, Entry(stat.S_IFDIR | mode))

    def character_device(self, name: str, major: int, minor: int) -> None:
        self._put(name, Entry(stat.S_IFCHR | 0o600, device=(major, minor)))

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def write(self, sink: BinaryIO) -> None:
        """Write the archive, folders before what is in them. Raises OSError."""
        for number, (name, entry) in enumerate(sorted(self.entries.items()), start=1):
            for part in _record(name, entry, number=number):
                sink.write(part)
        for part in _record("TRAILER!!!", Entry(0), number=0):
            sink.write(part)

    def _put(self, name: str, entry: Entry) -> None:
        for parent in PurePosixPath(name).parents:
            if str(parent) != "." and str(parent) not in self.entries:
                self.entries[str(parent)] = Entry(stat.S_IFDIR | 0o755)
        self.entries[name] = entry


def _record(name: str, entry: Entry, *, number: int) -> Iterator[bytes]:
    data = entry.source.read_bytes() if isinstance(entry.source, Path) else entry.source
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    encoded = name.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, links, 0, len(data), 0, 0, *entry.device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    yield header + encoded + bytes(-(len(header) + len(encoded)) % 4)
    yield data + bytes(-len(data) % 4)
