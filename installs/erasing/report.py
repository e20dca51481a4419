"""What a ramdisk reports of the disks that it erased, judged by the plan. Nothing of it is believed unchecked."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from installs.erasing.planned import SAMPLE_BYTES

CLEAR, PURGE = "Clear", "Purge"  # as NIST SP 800-88 calls them
LEVELS = {
    "nvme-sanitize-block": PURGE,
    "nvme-sanitize-crypto": PURGE,
    "nvme-format": PURGE,
    "nvme-format-crypto": PURGE,
    "ata-enhanced": PURGE,
    "ata-secure": CLEAR,
    "discard": CLEAR,
    "overwrite": CLEAR,
}
PATTERNS = {"00": b"\0", "ff": b"\xff"}
MOST_TRIES, WORDS_CHARACTERS = 20, 400
COUNTS = ("samples", "marked", "kept", "bad_after", "unread_after", "non_zero_before", "unread_before", "seconds")


@dataclass(frozen=True)
class Judged:
    """One disk of the plan. `problem` says why it does not count as erased; "" where it does."""

    disk: Mapping[str, Any]
    places: list[int]
    problem: str
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.disk["serial"] or self.disk["wwn"])


def judge(plan: Mapping[str, Any], report: Mapping[str, Any]) -> list[Judged]:
    """Every disk of the plan, in its order."""
    told = report.get("disks")
    entries = [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
    judged = []
    for disk, places in zip(plan["disks"], plan["samples"], strict=True):
        own = [entry for entry in entries if _is_of(entry, disk)]
        said = _kept(own[0]) if own else {}
        problem = "it is not in the report" if not own else "it is in the report twice" if len(own) > 1 else ""
        judged.append(Judged(disk, places, problem or _problem(disk, places, own[0]), said))
    return judged


def why_not(plan: Mapping[str, Any], report: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    """Why the machine does not count as erased; "" where every disk of the plan does, and no other is named."""
    problems = [f"the disk {each.name} is not erased: {each.problem}" for each in judged if each.problem]
    told = report.get("disks")
    if not problems and (not isinstance(told, list) or len(told) != len(judged)):
        problems = ["it reports other disks than those of the plan"]
    return "; ".join(problems)


def _is_of(entry: Mapping[str, Any], disk: Mapping[str, Any]) -> bool:
    return (entry.get("serial"), entry.get("wwn")) == (disk["serial"], disk["wwn"])


def _problem(disk: Mapping[str, Any], places: list[int], said: Mapping[str, Any]) -> str:
    """The first thing that is not as it must be."""
    method = said.get("method")
    if not isinstance(method, str) or method not in LEVELS:
        return "no method erased it"
    if _count(said, "size_bytes") != disk["size_bytes"]:
        return f"it has {said.get('size_bytes')!r} bytes, the plan says {disk['size_bytes']}"
    if said.get("is_there") is not True:
        return "it is not there any more"
    if _count(said, "samples") != len(places):
        return f"{said.get('samples')!r} samples were looked at, the plan has {len(places)}"
    if _count(said, "marked") != len(places):
        return "it did not take the marks that show whether it is erased"
    if _count(said, "kept") != 0:
        return f"it reported {method} as done and still holds {said.get('kept')!r} of {len(places)} marks"
    if _count(said, "bad_after") != 0 or _count(said, "unread_after") != 0:
        return f"{said.get('bad_after')!r} of {len(places)} samples are not erased or cannot be read"
    return "" if _is_proven(said, len(places)) else "what was read back is not what an erased disk holds"


def _is_proven(said: Mapping[str, Any], samples: int) -> bool:
    """Whether the digest is the one of so many samples of one byte: it cannot come of a disk that was not read."""
    byte = PATTERNS.get(said["pattern"]) if isinstance(said.get("pattern"), str) else None
    return byte is not None and said.get("after_sha256") == hashlib.sha256(byte * SAMPLE_BYTES * samples).hexdigest()


def _kept(said: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is worth keeping, cut to size."""
    counts = {name: _count(said, name) for name in COUNTS}
    words = {name: _words(said.get(name)) for name in ("path", "method", "pattern", "drive", "words")}
    tried = said.get("tried")
    tries = [entry for entry in tried if isinstance(entry, dict)][:MOST_TRIES] if isinstance(tried, list) else []
    return (
        counts | words | {"tried": [{name: _words(entry.get(name)) for name in ("method", "words")} for entry in tries]}
    )


def _count(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None


def _words(value: object) -> str:
    return value[:WORDS_CHARACTERS] if isinstance(value, str) else ""
