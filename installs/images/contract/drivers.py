"""Which hardware a kernel's modules drive, and which of them its initramfs has: kept in one file a digest."""

import fnmatch
import gzip
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dodaiweb import durable

MAX_ALIASES = 300_000
LONGEST = 512


@dataclass(frozen=True)
class Drivers:
    """`aliases` are (pattern of a modalias, module). `in_initrd` None: nobody could look into it."""

    release: str
    aliases: tuple[tuple[str, str], ...]
    builtin_aliases: tuple[tuple[str, str], ...]
    builtin: frozenset[str]
    in_initrd: frozenset[str] | None

    def modules_for(self, modalias: str) -> tuple[frozenset[str], frozenset[str]]:
        """Modules that drive a device: those that are files, those built into the kernel."""
        return _matching(self.aliases, modalias), _matching(self.builtin_aliases, modalias)


def drivers_of(
    release: str,
    *,
    aliases: bytes = b"",
    builtin: bytes = b"",
    builtin_info: bytes = b"",
    in_initrd: frozenset[str] | None = frozenset(),
    initrd_aliases: bytes = b"",
) -> Drivers:
    """From the tables in lib/modules/RELEASE (depmod(8), and modules.builtin.modinfo: strings `module.alias=...`).

    Modules that only the initrd has count as the image's: it starts with them. Of its table only those are taken.
    """
    only_there = [pair for pair in _lines(initrd_aliases) if canonical(pair[1]) in (in_initrd or ())]
    lines = dict.fromkeys([*_lines(aliases), *only_there])
    records = builtin_info.decode(errors="replace").split("\0")
    inside = [
        (record.partition(".alias=")[2], record.partition(".alias=")[0]) for record in records if ".alias=" in record
    ]
    names = {Path(line).name.partition(".ko")[0] for line in builtin.decode(errors="replace").split()}
    return Drivers(release, _tidy(lines), _tidy(inside), frozenset(map(canonical, names)), in_initrd)


def _lines(table: bytes) -> list[tuple[str, str]]:
    return re.findall(r"^alias (\S+) (\S+)$", table.decode(errors="replace"), flags=re.M)


def canonical(name: str) -> str:
    return name.replace("-", "_")


def save(drivers: Drivers, folder: Path, digest: str) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    initrd = None if drivers.in_initrd is None else sorted(drivers.in_initrd)
    words = {
        "release": drivers.release, "aliases": drivers.aliases, "builtin_aliases": drivers.builtin_aliases,
        "builtin": sorted(drivers.builtin), "in_initrd": initrd,
    }  # fmt: skip
    packed = gzip.compress(json.dumps(words).encode(), compresslevel=5, mtime=0)
    durable.write(folder / f"{digest}.json.gz", packed)


@lru_cache(maxsize=8)
def load(folder: Path, digest: str) -> Drivers | None:
    """What `save` wrote; None where there is none. Files never change, so they are read once."""
    try:
        words = json.loads(gzip.decompress((folder / f"{digest}.json.gz").read_bytes()))
    except (OSError, ValueError, EOFError):
        return None
    pairs = {
        name: tuple((pattern, module) for pattern, module in words[name]) for name in ("aliases", "builtin_aliases")
    }
    initrd = words["in_initrd"]
    return Drivers(
        words["release"], pairs["aliases"], pairs["builtin_aliases"], frozenset(words["builtin"]),
        None if initrd is None else frozenset(initrd),
    )  # fmt: skip


def _tidy(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    kept = [(pattern, canonical(module)) for pattern, module in pairs if len(pattern) + len(module) < LONGEST]
    return tuple(kept[:MAX_ALIASES])


def _matching(aliases: Iterable[tuple[str, str]], modalias: str) -> frozenset[str]:
    found = set()
    for pattern, module in aliases:
        # The beginning without wildcards decides nearly always, and costs a fiftieth of a real comparison.
        start = pattern.partition("*")[0].partition("[")[0].partition("?")[0]
        if modalias.startswith(start) and fnmatch.fnmatchcase(modalias, pattern):
            found.add(module)
    return frozenset(found)
