"""Debian's own package sources of this computer, read from /etc/apt (sources.list(5): both formats)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from installs.ramdisk.errors import RamdiskError

FIRMWARE_COMPONENT = "non-free-firmware"


@dataclass(frozen=True)
class Source:
    """One archive and suite; signed_by is a key file, an armored key block, or empty for apt's trusted keys."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def codename(os_release: Path = Path("/etc/os-release")) -> str:
    """The Debian release of this computer, for instance bookworm; empty where it is no Debian."""
    try:
        found = re.search(r"^VERSION_CODENAME=\"?([a-z]+)", os_release.read_text(), flags=re.M)
    except OSError:
        return ""
    return found[1] if found else ""


def debian_sources(release: str, *, etc: Path = Path("/etc/apt")) -> list[Source]:
    """The entries that serve Debian's main component of this release; raises RamdiskError where there are none.

    Other vendors' sources stay out: they need not serve what we want, and their packages are not what we test.
    """
    suites = {release, f"{release}-updates", f"{release}-security"}
    found = [source for source in _all(etc) if source.suite in suites and "main" in source.components]
    if not any(source.suite == release for source in found):
        raise RamdiskError(
            f"The ramdisk is built from Debian packages, but {etc} names no Debian source for {release or 'Debian'!r}. "
            f"Add a line such as `deb http://mirror.example/debian {release or 'bookworm'} main` to "
            f"{etc}/sources.list and try again."
        )
    return [replace(source, components=("main",)) for source in dict.fromkeys(found)]


def with_firmware(sources: Iterable[Source]) -> list[Source]:
    return [replace(source, components=(*source.components, FIRMWARE_COMPONENT)) for source in sources]


def with_backports(sources: Iterable[Source], release: str) -> list[Source]:
    known = list(sources)
    extra = [replace(source, suite=f"{release}-backports") for source in known if source.suite == release]
    return known + extra[:1]


def one_line(source: Source, key_folder: Path) -> str:
    """The sources.list line; an armored key is written into key_folder because a line can only name a file."""
    options = "arch=amd64"
    if source.signed_by.startswith("-----BEGIN"):
        key = key_folder / f"{source.suite}.asc"
        key.write_text(source.signed_by)
        options += f" signed-by={key}"
    elif source.signed_by:
        options += f" signed-by={source.signed_by}"
    return f"deb [{options}] {source.uri} {source.suite} {' '.join(source.components)}\n"


def _all(etc: Path) -> Iterator[Source]:
    parts = etc / "sources.list.d"
    for path in [etc / "sources.list", *sorted(parts.glob("*.list"))]:
        yield from _lines(_text(path))
    for path in sorted(parts.glob("*.sources")):
        yield from _stanzas(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as problem:
        raise RamdiskError(f"Cannot read apt's sources in {path}: {problem.strerror}.") from problem


def _lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if not match or not _is_archive(match[2]):
            continue
        signed_by = re.search(r"signed-by=(\S+)", match[1] or "")
        yield Source(match[2].rstrip("/"), match[3], tuple(match[4].split()), signed_by[1] if signed_by else "")


def _stanzas(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n[ \t]*\n", re.sub(r"^#.*\n", "", text, flags=re.M)):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in filter(_is_archive, fields.get("uris", "").split()):
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield Source(uri.rstrip("/"), suite, components, fields.get("signed-by", ""))


def _fields(stanza: str) -> dict[str, str]:
    """Field names in lower case; a continuation line that is only a dot stands for an empty line (deb822(5))."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t") and name:
            more = line.strip()
            fields[name] = f"{fields[name]}\n{'' if more == '.' else more}".lstrip("\n")
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _is_archive(uri: str) -> bool:
    return uri.partition(":")[0] in ("http", "https", "file", "copy", "mirror", "mirror+http", "mirror+https")
