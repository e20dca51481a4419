"""ISO images of installers: where each file lies in them, and which installer they carry. Unpacked they are never."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from dodaiweb import durable
from installs import celled
from installs.cell_words import words_for
from installs.images.contract import BadImage

MAGIC, MAGIC_AT = b"CD001", 0x8001  # ECMA-119, 8: the volume descriptor in sector 16
# What tells an installer's ISO: its method, and where kernel and initrd lie in it.
KNOWN = (
    ("autoinstall", "casper/vmlinuz", "casper/initrd"),
    ("kickstart", "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"),
    ("preseed", "install.amd/netboot/linux", "install.amd/netboot/initrd.gz"),
    ("preseed", "install.amd/vmlinuz", "install.amd/initrd.gz"),
)


@dataclass(frozen=True)
class IsoReport:
    """`files` is path -> [[offset, bytes], ...], `links` path -> path; all relative to the root of the image."""

    files: dict[str, list[list[int]]]
    links: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def unpacked_bytes(self) -> int:
        return sum(length for extents in self.files.values() for _offset, length in extents)

    @property
    def suits(self) -> tuple[str, str, str]:
        """Method, kernel and initrd of the installer that it carries; empty where it is none that we know."""
        return next((each for each in KNOWN if each[1] in self.files and each[2] in self.files), ("", "", ""))

    def as_json(self) -> dict[str, Any]:
        return {"file_count": len(self.files), "unpacked_bytes": self.unpacked_bytes, "problems": [], "warnings": []}


def is_one(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(MAGIC_AT)
        return file.read(len(MAGIC)) == MAGIC


def look_into(path: Path) -> IsoReport:
    """Raises BadImage. The image is read in a closed process."""
    try:
        found = celled.iso_files(path)
    except celled.CellProblem as problem:
        raise BadImage(str(problem)) from None
    if found.get("problems"):
        raise BadImage(" ".join(words_for(problem) for problem in found["problems"]))
    return IsoReport(found["files"], found["links"])


def index_path(digest: str) -> Path:
    folder: Path = settings.DATA / "image-index"
    return folder / f"{digest}.json.gz"


def save(report: IsoReport, digest: str) -> None:
    """Where the image server looks for it."""
    path = index_path(digest)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    durable.write(path, gzip.compress(json.dumps({"files": report.files, "links": report.links}).encode(), mtime=0))
