"""What an install would do, worked out before anybody says yes, and frozen when somebody does."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from installs import ramdisk
from installs.methods import METHODS
from installs.models import Image, Install
from machines import lifecycle
from machines.models import Disk, Machine

MIB = 1 << 20
ON_THIS_COMPUTER = ("127.0.0.1", "localhost", "::1")
BOOT_PARTITIONS_BYTES = 66 * MIB  # BIOS boot, ESP and alignment
FREE_SHARE = 1.05  # a file system needs some room of its own
LAB_ARGS, REAL_ARGS = "console=tty0 console=ttyS0,115200n8", "console=ttyS0,115200n8 console=tty0"


@dataclass(frozen=True)
class Plan:
    """An install of one image on one machine, with what stands in its way."""

    machine: Machine
    image: Image | None
    method: str
    disk: Disk | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    frozen: dict[str, Any] = field(default_factory=dict)

    @property
    def is_possible(self) -> bool:
        return not self.problems

    @property
    def digest(self) -> str:
        """Names exactly this plan: who approves a page that has grown old approves nothing."""
        return hashlib.sha256(json.dumps(self.frozen, sort_keys=True).encode()).hexdigest()

    @property
    def needs_typed_name(self) -> bool:
        return self.machine.state in (lifecycle.State.IN_USE, lifecycle.State.WARM)


def for_install(machine: Machine, image: Image) -> Plan:
    problems, warnings = _machine_problems(machine), []
    disk = _root_disk(machine, problems)
    if image.retired_at:
        problems.append(f"The image {image.name} is retired: choose another one.")
    if image.method not in METHODS:
        problems.append(f"The image names the method {image.method!r}, which this Dodai does not have.")
    if not image_file(image).exists():
        problems.append(f"The file of {image.name} is missing ({image_file(image)}): import the image again.")
    memory = machine.facts.get("memory_bytes")
    if isinstance(memory, int) and memory < image.min_memory_mib * MIB:
        problems.append(f"{image.name} needs {image.min_memory_mib} MiB of memory, {machine.name} has {memory // MIB}.")
    layout = _layout(image, disk, problems)
    if disk and disk.signatures:
        kinds = sorted({str(item.get("type")) for item in disk.signatures if item.get("type")})
        warnings.append(f"The disk carries {', '.join(kinds)}: all of it will be lost.")
    frozen = _common(machine, problems) | {
        "method": image.method,
        "image": _image_words(machine, image),
        "disk": {"serial": disk.serial, "wwn": disk.wwn, "size_bytes": disk.size_bytes} if disk else None,
        "layout": layout,
        "image_kernel_args": image.kernel_args,
    }
    return Plan(machine, image, image.method, disk, problems, warnings, frozen)


def for_inspection(machine: Machine) -> Plan:
    problems = _machine_problems(machine, needs_inspection=False)
    warnings = ["The machine will be switched off."] if machine.state == lifecycle.State.IN_USE else []
    frozen = _common(machine, problems) | {"method": "inspect"}
    return Plan(machine, None, "inspect", None, problems, warnings, frozen)


def image_file(image: Image) -> Path:
    path: Path = settings.DATA / "images" / image.sha256
    return path


def _machine_problems(machine: Machine, *, needs_inspection: bool = True) -> list[str]:
    problems = []
    live = Install.objects.live().filter(machine=machine).first()
    if live:
        problems.append(f"{machine.name} is in the hands of {live} (asked by {live.requested_by}): cancel that first.")
    elif machine.state not in lifecycle.INSTALLABLE:
        problems.append(
            f"{machine.name} is {lifecycle.State(machine.state).label.lower()}, nothing can be installed on it."
        )
    if machine.protected:
        problems.append(f"{machine.name} is protected: take the protection off in the inventory first.")
    if not hasattr(machine, "bmc"):
        problems.append(f"{machine.name} has no power driver: choose one in the inventory.")
    if not machine.interfaces.exists():
        problems.append(f"{machine.name} has no network card in the inventory: enter the MAC it boots from.")
    if needs_inspection and machine.inspected_at is None:
        problems.append(f"{machine.name} was never looked at from inside: inspect it, so that its disks are known.")
    return problems


def _root_disk(machine: Machine, problems: list[str]) -> Disk | None:
    roots = list(machine.disks.filter(is_root=True))
    if len(roots) != 1:
        found = ", ".join(f"{disk} ({disk.path})" for disk in machine.disks.all()) or "none"
        problems.append(
            f"{len(roots)} disks of {machine.name} are marked as root disk, it must be one. Its disks: {found}."
        )
        return None
    disk = roots[0]
    if not disk.path:
        problems.append(f"The root disk {disk} was not in {machine.name} at its last inspection: inspect it again.")
    return disk


def _layout(image: Image, disk: Disk | None, problems: list[str]) -> dict[str, int]:
    """Sizes in bytes as dodai-compute had them; 0 is none, for the root what the others leave."""
    sizes = {part: getattr(image, f"{part}_mib") * MIB for part in ("root", "swap", "ephemeral", "kdump")}
    if disk is None or disk.size_bytes is None:
        return sizes
    least_root = sizes["root"] or int(image.unpacked_bytes * FREE_SHARE)
    needed = least_root + sizes["swap"] + sizes["ephemeral"] + sizes["kdump"] + BOOT_PARTITIONS_BYTES
    if needed > disk.size_bytes:
        problems.append(
            f"{image.name} needs {needed // MIB} MiB with its partitions, the disk {disk} has {disk.size_bytes // MIB}."
        )
    if sizes["root"] and sizes["root"] < image.unpacked_bytes * FREE_SHARE:
        problems.append(
            f"The root of {image.name} is {sizes['root'] // MIB} MiB, but its files are {image.unpacked_bytes // MIB}."
        )
    return sizes


def _common(machine: Machine, problems: list[str]) -> dict[str, Any]:
    """What the ramdisk needs whatever it does."""
    built = _ramdisk(machine)
    if built is None:
        problems.append("The ramdisk is not built yet: wait for it, or run `python3 manage.py ramdisk build`.")
    site = machine.site
    if not site.is_practice and urlsplit(site.provision_url or settings.PROVISION_URL).hostname in ON_THIS_COMPUTER:
        problems.append("Dodai listens on this computer only, no machine can reach it: start it with --provision-host.")
    consoles = LAB_ARGS if site.is_practice else REAL_ARGS
    extra = machine.type.kernel_args if machine.type else ""
    return {
        "attempt": {"machine": machine.name, "serial": machine.serial},
        "provision_url": site.provision_url or settings.PROVISION_URL,
        "image_url": site.image_url or settings.IMAGE_URL,
        "ramdisk": built.version if built else "",
        "kernel_args": f"{consoles} {extra}".strip(),
        "boot_order": machine.boot_order,
        "machine_was": machine.state,
        "restarts_itself": hasattr(machine, "bmc") and machine.bmc.driver == "manual",
    }


def _ramdisk(machine: Machine) -> "ramdisk.Ramdisk | None":
    real = None if machine.site.is_practice else ramdisk.latest("real", settings.DATA)
    return real or ramdisk.latest("lab", settings.DATA)


def _image_words(machine: Machine, image: Image) -> dict[str, Any]:
    base = machine.site.image_url or settings.IMAGE_URL
    return {
        "name": image.name, "kind": image.kind, "sha256": image.sha256, "size_bytes": image.size_bytes,
        "unpacked_bytes": image.unpacked_bytes, "url": f"{base}/image/{image.sha256}",
    }  # fmt: skip
