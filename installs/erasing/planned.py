"""Which disks are erased, and where they are looked at before and afterwards."""

import random
from typing import Any

from machines.models import Disk, Machine

SAMPLE_BYTES = 4096
BETWEEN = 62  # beside the first and the last one
_random = random.SystemRandom()


def disks_of(machine: Machine) -> list[dict[str, Any]]:
    """All that stay in it, as plans name them: `serial`, `wwn`, `size_bytes`. None of them is left out."""
    staying = [disk for disk in machine.disks.all() if not disk.is_removable]
    facts = [{"serial": disk.serial, "wwn": disk.wwn, "size_bytes": disk.size_bytes} for disk in staying]
    return sorted(facts, key=lambda disk: (disk["serial"], disk["wwn"]))


def unclear(machine: Machine) -> list[Disk]:
    """Those of them that cannot be found again by a number, or were not in it when it was last inspected."""
    staying = [disk for disk in machine.disks.all() if not disk.is_removable]
    return [disk for disk in staying if not (disk.path and disk.size_bytes and (disk.serial or disk.wwn))]


def places(size_bytes: int) -> list[int]:
    """Offsets in bytes: the beginning, the end, and one by chance in each of BETWEEN equal parts.

    Nobody can foresee them. A disk that has no room for so many of them has fewer.
    """
    last = size_bytes - SAMPLE_BYTES
    blocks = last // SAMPLE_BYTES
    parts = min(BETWEEN, max(blocks - 1, 0))
    between = [
        SAMPLE_BYTES * _random.randrange(1 + (blocks - 1) * part // parts, 1 + (blocks - 1) * (part + 1) // parts)
        for part in range(parts)
    ]
    return [0, *between, last] if last > 0 else [0]
