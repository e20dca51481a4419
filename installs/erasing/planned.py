"""Which disks are erased, and where they are looked at before and afterwards."""

import random
import re
from typing import Any

from django.db.models import Q
from django.db.models.functions import Lower

from machines import facts, identity
from machines.lifecycle import State
from machines.models import Disk, Machine

SAMPLE_BYTES = 4096
BETWEEN = 62  # beside the first and the last one
_random = random.SystemRandom()


def disks_of(machine: Machine) -> list[dict[str, Any]]:
    """All that stay in it, as plans name them: `serial`, `wwn`, `size_bytes`. None of them is left out."""
    named = [{"serial": disk.serial, "wwn": disk.wwn, "size_bytes": disk.size_bytes} for disk in _staying(machine)]
    return sorted(named, key=lambda disk: (disk["serial"], disk["wwn"]))


def unclear(machine: Machine) -> list[Disk]:
    """Those of them that cannot be found again by a number, or were not in it when it was last inspected."""
    return [disk for disk in _staying(machine) if not (disk.path and disk.size_bytes and (disk.serial or disk.wwn))]


def shared(machine: Machine) -> list[tuple[Disk, Machine]]:
    """Those that another machine has as well, as far as the inventory knows: over a SAN, or in a shelf of both."""
    staying = _staying(machine)
    same = Q(low_wwn__in=[wwn for disk in staying if (wwn := _wwn(disk))])
    same |= Q(low_serial__in=[serial for disk in staying if (serial := _serial(disk))])
    others = Disk.objects.annotate(low_wwn=Lower("wwn"), low_serial=Lower("serial")).filter(same)
    others = others.exclude(machine=machine).exclude(machine__state=State.RETIRED).select_related("machine")
    return [(disk, other.machine) for disk in staying for other in others if _is_same(disk, other)]


def has_none(machine: Machine) -> bool:
    """Whether its last inspection found no disk that stays in it, not even one without a number."""
    if machine.inspected_at is None or machine.facts.get("disks") is None or _staying(machine):
        return False
    return all(disk.is_removable for disk in facts.parse(machine.facts).disks)


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


def _staying(machine: Machine) -> list[Disk]:
    return [disk for disk in machine.disks.all() if not disk.is_removable]


def _is_same(disk: Disk, other: Disk) -> bool:
    """Namespaces and LUNs of one array may have one serial number: an inspection tells them apart by their WWNs."""
    if _wwn(disk) and _wwn(disk) == _wwn(other):
        return True
    is_other = _wwn(disk) and _wwn(other) and other.seen_at
    return bool(_serial(disk)) and _serial(disk) == _serial(other) and not is_other


def _wwn(disk: Disk) -> str:
    """In lower case; "" for one of zeros only, which identifies nothing."""
    wwn = disk.wwn.lower()
    return wwn if re.sub(r"^(0x|[a-z]+\.)", "", wwn).strip("0-") else ""


def _serial(disk: Disk) -> str:
    return disk.serial.lower() if identity.normal_serial(disk.serial) else ""
