"""The files of an image that the contract asks about, whatever the image's kind."""

import fnmatch
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

MAX_ENTRIES = 2_000_000
MAX_KEPT_BYTES = 512 << 20  # of file contents that are looked at, all together
MAX_FILE_BYTES = 256 << 20
MAX_NAME_BYTES = 4096
MAX_LINKS = 40  # as Linux follows them (path_resolution(7))

# What is read; everything else is only counted. Releases of kernels stand where the stars are.
WANTED = (
    "etc/os-release", "usr/lib/os-release", "boot/initrd*", "boot/initramfs*", "usr/lib/modules/*/modules.alias",
    "usr/lib/modules/*/modules.builtin", "usr/lib/modules/*/modules.builtin.modinfo",
    "usr/lib/modules/*/modules.dep", "lib/modules/*/modules.*", "etc/machine-id",
)  # fmt: skip


class BadImage(Exception):
    """The image cannot be read, or is not what it claims. The message says why."""


class Kind(Enum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True)
class Entry:
    """`target` is a link's; `content` is None for what is not wanted."""

    kind: Kind
    size: int = 0
    target: str = ""
    content: bytes | None = None


@dataclass
class Files:
    """Paths without a leading slash, as the image has them."""

    entries: dict[str, Entry] = field(default_factory=dict)
    unpacked_bytes: int = 0
    has_attributes: bool = False
    """Whether an archive carries ACLs or extended attributes, like the capabilities of programs."""

    def find(self, path: str) -> Entry | None:
        """What `path` leads to, links followed inside the tree only."""
        real = self.real(path)
        return self.entries.get(real) if real else None

    def real(self, path: str) -> str | None:
        """The path without links; None where it leads nowhere."""
        at: list[str] = []
        waiting, links = [part for part in reversed(path.split("/")) if part], 0
        while waiting:
            part = waiting.pop()
            if part == ".":
                continue
            if part == "..":
                at = at[:-1]
                continue
            here = "/".join([*at, part])
            entry = self.entries.get(here)
            if entry is None:
                return None
            if entry.kind is not Kind.LINK:
                at.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            at = [] if entry.target.startswith("/") else at
            waiting += [each for each in reversed(entry.target.split("/")) if each]
        return "/".join(at)

    def names_in(self, folder: str) -> list[str]:
        """Names of what is in a folder, links to it followed; empty where there is none."""
        real = self.real(folder)
        if real is None:
            return []
        start = f"{real}/" if real else ""
        return sorted(
            path[len(start) :] for path in self.entries if path.startswith(start) and "/" not in path[len(start) :]
        )

    def content(self, path: str) -> bytes:
        """Empty where it is missing or was not wanted."""
        entry = self.find(path)
        return (entry.content or b"") if entry else b""


class Collector:
    """Takes entries in as a reader meets them, and keeps to the caps. Raises BadImage."""

    def __init__(self) -> None:
        self.files = Files()
        self._kept = 0
        self._seen = 0

    def wants(self, path: str, size: int) -> bool:
        """Whether this file's content is to be read."""
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in WANTED):
            return False
        if size > MAX_FILE_BYTES or self._kept + size > MAX_KEPT_BYTES:
            raise BadImage(f"/{path} is {size >> 20} MiB large: no kernel's files are")
        self._kept += size
        return True

    def add(self, path: str, entry: Entry) -> None:
        self._seen += 1
        if self._seen > MAX_ENTRIES:
            raise BadImage(f"it has more than {MAX_ENTRIES:,} files")
        self.files.entries[path] = entry
        self.files.unpacked_bytes += _on_disk(entry)


def normal(name: str) -> str | None:
    """A member's name as a path in the tree: `./boot/x` is boot/x. None for what would leave the tree."""
    if len(name) > MAX_NAME_BYTES or "\0" in name:
        return None
    path = posixpath.normpath(name.lstrip("/"))
    return None if path == ".." or path.startswith("../") else path.removeprefix("./")


def _on_disk(entry: Entry) -> int:
    """In an ext4 with its usual blocks of 4 KiB."""
    if entry.kind is Kind.FOLDER:
        return 4096
    return -(-entry.size // 4096) * 4096


def parents_of(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


__all__ = ["BadImage", "Collector", "Entry", "Files", "Iterable", "Kind", "normal", "parents_of"]
