"""The write grant: the one place where an install may become destructive.

Booting the ramdisk is harmless and may happen any number of times. Just before its first write the ramdisk says
who it is and which disk it would write. One transaction compares that with the inventory and with the plan the
operator approved, and grants once per attempt: again for the same kernel boot, never for another one.
"""

import logging
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from installs import binding, ending, tokens
from installs.erasing import planned
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Boot, Event, Install, add_alert, add_event
from installs.rows import lock, save
from machines import actions, identity, own_hosts
from machines.facts import Facts, FoundDisk
from machines.models import Machine

logger = logging.getLogger(__name__)

ALL_IS_WRITTEN = ("install_reboot", "deleted")


@dataclass(frozen=True)
class Granted:
    """The machine may write. The first-boot token is told only here; "" where no OS is to come."""

    first_boot_token: str


@dataclass(frozen=True)
class Refused:
    reason: str


@dataclass(frozen=True)
class Over:
    """The attempt has ended: 410."""


def ask(boot: Boot, facts: Facts, disk: FoundDisk | None) -> Granted | Refused | Over:
    """Decide whether this kernel boot may write, durably, before it is told. `disk` is None for all of the plan's."""
    with transaction.atomic():
        install = lock(boot.install_id)
        if install.state not in (State.RUNNING, State.WAITING):
            return Over()
        if install.events.filter(kind=Event.Kind.MACHINE, name__in=ALL_IS_WRITTEN).exists():
            return Over()  # all is written; a request that was long under way must not void the token on the disk
        if not METHODS[install.method].writes_disks:
            return Refused("What is installed here writes no disk, so nothing is granted.")
        if problem := wrong_boot(install, boot, facts):
            add_alert(install, "grant-refused", problem)
            return Refused(problem)
        cause, difference = _difference(install, facts, disk)
        if difference:
            reason = f"{install.machine.name}: {difference}. Nothing was written."
            ending.stop_locked(install, cause=cause, error=reason)
            return Refused(reason)
        return _grant(install, boot)


def _grant(install: Install, boot: Boot) -> Granted:
    if install.granted_at is None:
        names = _names_of_disks(install.plan)
        text = f"May write disk {names}" if names else "There is no disk in it, so there is nothing to erase."
        add_event(install, Event.Kind.MACHINE, "granted", text=text)
        save(install, granted_at=now(), granted_boot_id=boot.boot_id)
    if install.image_id is None:
        return Granted("")
    token = tokens.following(boot.token_hash, boot.boot_id, purpose="first-boot")
    # Asked again because our answer got lost: the earlier token was never used.
    save(install, first_boot_hash=tokens.digest(token))
    return Granted(token)


def _names_of_disks(plan: dict[str, Any]) -> str:
    """ "" where all disks are planned, and there is none."""
    disks = plan["disks"] if "disks" in plan else [plan["disk"]]
    return ", ".join(disk["serial"] or disk["wwn"] for disk in disks)


def wrong_boot(install: Install, boot: Boot, facts: Facts) -> str:
    """Why this kernel boot may not speak for the attempt; "" when it may."""
    if not boot.boot_id or facts.boot_id != boot.boot_id:
        return "the kernel that asks is not the one that fetched the script"
    if install.granted_at is not None and install.granted_boot_id != boot.boot_id:
        return "the grant of this attempt was given to an earlier boot of the machine; start a new attempt"
    return ""


def _difference(install: Install, facts: Facts, disk: FoundDisk | None) -> tuple[str, str]:
    """(cause, words) for the first fact that is not as the inventory and the plan have it; ("", "") if none."""
    if difference := machine_difference(install, facts):
        return difference
    if METHODS[install.method].writes_all_disks:
        return _difference_of_all(install, facts) or ("", "")
    if disk is None:
        return "disk", "it names no disk"
    return _disk_difference(install.plan["disk"], facts, disk) or ("", "")


def machine_difference(install: Install, facts: Facts) -> tuple[str, str] | None:
    """The same, as far as it can be told before anything is known of the machine's disks."""
    machine = install.machine
    if machine.protected:
        return "protected", "it was protected after the install was planned"
    if own := own_hosts.why(machine):
        return "own-host", own.rstrip(".")
    if fact := binding.changed_fact(install):
        return "plan", f"{fact} changed after the plan was approved"
    return identity_difference(machine, facts)


def identity_difference(machine: Machine, facts: Facts) -> tuple[str, str] | None:
    if machine.serial and machine.serial != facts.serial:
        return "identity", f"serial number is {facts.serial or 'empty'}, the inventory says {machine.serial}"
    if machine.uuid and not (facts.uuid and identity.same_uuid(machine.uuid, facts.uuid)):
        return "identity", f"system UUID is {facts.uuid or 'empty'}, the inventory says {machine.uuid}"
    known = {card.mac for card in machine.interfaces.all()}
    if missing := sorted(known - set(facts.macs)):
        return "identity", f"network card {missing[0]} of the inventory is not in this machine"
    try:
        actions.must_be(machine, facts)
    except actions.NotThisMachine as exc:
        return "identity", str(exc).removeprefix(f"{machine.name}: ")
    return None


def _difference_of_all(install: Install, facts: Facts) -> tuple[str, str] | None:
    """Each disk of the plan is in the machine, once, and none but those: removable ones are nobody's concern.

    None of them is in another machine. A plan without disks is for a machine without disks.
    """
    if shared := planned.shared(install.machine):
        return "disk", f"the disk {shared[0][0]} is in {shared[0][1]} as well"
    known: set[int] = set()
    for disk in install.plan["disks"]:
        same = [at for at, found in enumerate(facts.disks) if _has_numbers_of(found, disk)]
        if len(same) != 1:
            return "disk", f"{len(same)} disks of this machine are the disk {disk['serial'] or disk['wwn']} of the plan"
        if difference := _disk_difference(disk, facts, facts.disks[same[0]]):
            return difference
        known.update(same)
    for at, found in enumerate(facts.disks):
        if at not in known and not found.is_removable:
            name = found.serial or found.wwn or "without a number"
            return "disk", f"the disk {found.path} ({name}) is not in the inventory"
    return None


def _has_numbers_of(found: FoundDisk, disk: dict[str, Any]) -> bool:
    return bool(disk["serial"] or disk["wwn"]) and all(
        not disk[key] or getattr(found, key) == disk[key] for key in ("serial", "wwn")
    )


def _disk_difference(wanted: dict[str, object], facts: Facts, disk: FoundDisk) -> tuple[str, str] | None:
    if not (wanted["serial"] or wanted["wwn"]):
        return "disk", "the plan names no serial number or WWN of a disk"
    for key in ("serial", "wwn", "size_bytes"):
        found = getattr(disk, key)
        if wanted[key] and found != wanted[key]:
            return "disk", f"the disk's {key.replace('_', ' ')} is {found or 'empty'}, the plan says {wanted[key]}"
    same = [d for d in facts.disks if (d.serial, d.wwn) == (disk.serial, disk.wwn)]
    if len(same) != 1:
        return "disk", f"{len(same)} disks of this machine have the serial number {disk.serial or disk.wwn}"
    return None
