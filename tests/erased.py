"""What a ramdisk reports that has erased all disks of a plan."""

import hashlib
from typing import Any

from installs.erasing.planned import SAMPLE_BYTES


def honest(plan: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """With `changes` in what it says of the first disk."""
    told = [_entry(disk, places) for disk, places in zip(plan["disks"], plan["samples"], strict=True)]
    told[0] |= changes
    return {"disks": told}


def _entry(disk: dict[str, Any], places: list[int]) -> dict[str, Any]:
    count = len(places)
    return {
        **disk, "path": "/dev/sda", "method": "overwrite", "drive": "the drive reports no command that erases it",
        "samples": count, "marked": count, "kept": 0, "bad_after": 0, "unread_after": 0, "unread_before": 0,
        "non_zero_before": 3, "is_there": True, "pattern": "00", "words": "", "seconds": 7,
        "after_sha256": hashlib.sha256(b"\0" * SAMPLE_BYTES * count).hexdigest(),
        "tried": [{"method": "ata-secure", "words": "failed"}, {"method": "overwrite", "words": "done"}],
    }  # fmt: skip
