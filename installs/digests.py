"""Digests that name what was approved, and that can tell which part of it is another one now."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

CHARACTERS = 64  # hexadecimal digits
PART_CHARACTERS = 6  # only to name what differs: the rest of the digest decides whether anything does

FACTS = {
    "list": _("the list of machines"),
    "machine": _("the machine"),
    "disk": _("the disk"),
    "image": _("the image"),
    "layout": _("the layout"),
    "way": _("the way it is booted (addresses, ramdisk, kernel line)"),
}
"""Parts of plans and of lists of plans, in the order in which they are told."""


def digest(parts: Mapping[str, Any]) -> str:
    """64 hexadecimal digits: the begin of a SHA-256 over all parts, then a few digits of each part's own."""
    ends = "".join(_sha256(parts[name])[:PART_CHARACTERS] for name in FACTS if name in parts)
    return _sha256(parts)[: CHARACTERS - len(ends)] + ends


def changed(approved: str, parts: Mapping[str, Any]) -> list[str]:
    """The facts that differ from those of the digest `approved`, in words; [] when it names exactly these parts."""
    present = digest(parts)
    if approved == present:
        return []
    names = [name for name in FACTS if name in parts]
    begins = range(CHARACTERS - PART_CHARACTERS * len(names), CHARACTERS, PART_CHARACTERS)
    ends = {name: slice(begin, begin + PART_CHARACTERS) for name, begin in zip(names, begins, strict=True)}
    differing = [gettext(FACTS[name]) for name, end in ends.items() if approved[end] != present[end]]
    return differing or [gettext(FACTS[name]) for name in names[:1]]


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
