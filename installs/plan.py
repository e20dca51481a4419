"""What an install would do, worked out before anybody says yes, and frozen when somebody does."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from installs import digests, ramdisk, reach, ways
from installs.layout import layout_of
from installs.methods import METHODS
from installs.methods.base import Operation
from installs.models import Image, Install
from installs.ports import booting, which
from machines import addressing, lifecycle, own_hosts
from machines.models import Disk, Machine, links

MIB = 1 << 20
PARTITION_TABLES = ("gpt", "dos", "PMBR")  # alone, they hold nothing
PARTS = {
    "machine": ("attempt", "identity", "boot_order", "machine_was", "restarts_itself", "is_used"),
    "disk": ("disk", "disks", "samples"),
    "image": ("image", "method", "image_kernel_args", "first_boot_commands", "fallbacks"),
    "layout": ("layout",),
    "way": (),  # and whatever else a plan holds
}
"""Which fact of a digest each entry of a frozen plan belongs to."""
# An emulated timer stands still while the computer is busy: a kernel that tests it would take it for broken and stop.
LAB_ARGS = "no_timer_check console=tty0 console=ttyS0,115200n8"
REAL_ARGS = "console=ttyS0,115200n8 console=tty0"
WAS_GRANTED = Exists(Install.objects.filter(machine=OuterRef("pk"), granted_at__isnull=False))
"""Who plans for many machines annotates them with it, as `was_granted`, so that they are not asked one by one."""


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
    typed_because: str = ""
    """Why the name of the machine must be typed before this may start; "" when a click will do."""
    way: int = 0
    """By which method of the image: see ways.py."""

    @property
    def is_possible(self) -> bool:
        return not self.problems

    @property
    def digest(self) -> str:
        """Names exactly this plan: who approves a page that has grown old approves nothing."""
        return digests.digest(self.parts)

    @property
    def parts(self) -> dict[str, Any]:
        return parts_of(self.frozen)

    @property
    def needs_typed_name(self) -> bool:
        return bool(self.typed_because)


def for_install(machine: Machine, image: Image, *, way: int = 0) -> Plan:
    """`way` 0 is the image's own method, the others are its fallbacks. Raises IndexError where it has no such way."""
    as_it_is, image = image, ways.image_by(image, way)
    method = METHODS.get(image.method)
    by_network = method is None or not method.by_operator
    problems, warnings = _machine_problems(machine, by_network=by_network, needs_inspection=by_network), []
    disk = _root_disk(machine, problems) if ways.write_disks(as_it_is) else None
    if image.retired_at:
        problems.append(_("The image %(image)s is retired: choose another one.") % {"image": image.name})
    if method is None:
        problems.append(
            _("The image names the method %(method)s, which this Dodai does not have.") % {"method": image.method}
        )
    for path in image_files(image) if by_network else ():
        if not path.exists():
            problems.append(
                _("The file of %(image)s is missing (%(path)s): import the image again.")
                % {"image": image.name, "path": path}
            )
    memory = machine.facts.get("memory_bytes")
    if isinstance(memory, int) and memory < image.min_memory_mib * MIB:
        problems.append(
            _("%(image)s needs %(needed)s MiB of memory, %(name)s has %(found)s.")
            % {"image": image.name, "needed": image.min_memory_mib, "name": machine.name, "found": memory // MIB}
        )
    problems += links.problems_of(machine)
    if method:
        problems += method.problems(machine, image, disk)
        warnings += method.warnings(machine, image, disk)
    warnings += [*addressing.warnings_of(machine), *(booting.warnings_of(machine) if by_network else [])]
    if not way:
        warnings += _problems_of_fallbacks(machine, image, disk)
    if disk and disk.signatures:
        warnings.append(_("The disk carries %(what)s: all of it will be lost.") % {"what": ", ".join(_kinds(disk))})
    because = _why_typed(machine, disk)
    frozen = _common(machine, problems, by_network=by_network) | {
        "method": image.method,
        "image": image_facts(machine, image),
        "disk": disk_facts(disk) if disk else None,
        "layout": layout_of(image),
        "image_kernel_args": image.kernel_args,
        "is_used": bool(because),
        **({"first_boot_commands": image.first_boot_commands} if image.first_boot_commands else {}),
        **({"fallbacks": image.fallbacks} if image.fallbacks else {}),
        **which.of_install(machine),
    }
    return Plan(machine, as_it_is, image.method, disk, problems, warnings, frozen, typed_because=because, way=way)


def parts_of(frozen: dict[str, Any]) -> dict[str, Any]:
    """A frozen plan by the facts that a digest can name. The number of its attempt is no part of what was approved."""
    attempt = {name: value for name, value in frozen.get("attempt", {}).items() if name != "id"}
    by_fact: dict[str, Any] = {fact: {"attempt": attempt} if fact == "machine" else {} for fact in PARTS}
    for key, value in frozen.items():
        if key != "attempt":
            by_fact[next((fact for fact, keys in PARTS.items() if key in keys), "way")][key] = value
    return by_fact


def for_inspection(machine: Machine) -> Plan:
    warnings = [_("The machine will be switched off.")] if machine.state == lifecycle.State.IN_USE else []
    return replace(for_operation(machine, "inspect", {}), warnings=warnings)


def for_operation(machine: Machine, slug: str, told: dict[str, Any]) -> Plan:
    """What is done by a method that puts no image on a machine. `told` are values of JSON. Raises KeyError."""
    method = METHODS[slug]
    assert isinstance(method, Operation)
    problems = _machine_problems(
        machine, by_network=method.boots_ramdisk, needs_inspection=False, states=method.possible_in
    )
    problems += method.machine_problems(machine, told)
    frozen = _common(machine, problems, by_network=method.boots_ramdisk) | {"method": slug}
    frozen |= which.of_boot(machine) if method.boots_ramdisk else {}
    frozen |= ({"told": told} if told else {}) | method.facts(machine, told)
    return Plan(machine, None, slug, None, problems, [], frozen)


def identity_of(machine: Machine) -> dict[str, Any]:
    """By what the inventory knows it, and where its power is switched."""
    macs = sorted(card.mac for card in machine.interfaces.all())
    return {"uuid": machine.uuid, "macs": macs, "bmc": str(machine.bmc) if hasattr(machine, "bmc") else ""}


def disk_facts(disk: Disk) -> dict[str, Any]:
    return {"serial": disk.serial, "wwn": disk.wwn, "size_bytes": disk.size_bytes}


def image_file(image: Image) -> Path:
    path: Path = settings.DATA / "images" / image.sha256
    return path


def image_files(image: Image) -> list[Path]:
    """All that it has in the store."""
    digests_of_it = [image.sha256, *(file["sha256"] for file in image.files.values())]
    return [settings.DATA / "images" / digest for digest in digests_of_it if digest]


def _problems_of_fallbacks(machine: Machine, image: Image, disk: Disk | None) -> list[str]:
    """What would keep each of them from being used, as far as it can be told now."""
    words, found = _("As a fallback, %(method)s cannot be used: %(why)s"), []
    for way in ways.numbers(image)[1:]:
        as_way, method = ways.image_by(image, way), ways.method_by(image, way)
        label, why = as_way.method, [_("this Dodai does not have it.")]
        if method:
            label, why = _(method.label), method.problems(machine, as_way, disk)
        found += [words % {"method": label, "why": each} for each in why]
    return found


def unerased_words(machine: Machine) -> str:
    """Why nobody gets it, by the pool or a request."""
    return _("%(name)s: its disks have to be erased first.") % {"name": machine.name}


def _why_typed(machine: Machine, disk: Disk | None) -> str:
    """Somebody may be using it, or its disks hold what nobody has erased, or what Dodai never wrote there."""
    if machine.state in (lifecycle.State.IN_USE, lifecycle.State.WARM):
        state = str(lifecycle.State(machine.state).label).lower()
        return _("%(name)s is %(state)s.") % {"name": machine.name, "state": state}
    if machine.unerased:
        words = _("The disks of %(name)s hold what somebody else must not see, and are not erased.")
        return words % {"name": machine.name}
    data = [kind for kind in _kinds(disk) if kind not in PARTITION_TABLES] if disk else []
    if data and not _was_granted(machine):
        return _("Its disk carries %(what)s, which Dodai did not write.") % {"what": ", ".join(data)}
    return ""


def _was_granted(machine: Machine) -> bool:
    known: bool | None = getattr(machine, "was_granted", None)
    return Machine.objects.filter(WAS_GRANTED, pk=machine.pk).exists() if known is None else known


def _kinds(disk: Disk) -> list[str]:
    return sorted({str(item.get("type")) for item in disk.signatures if isinstance(item, dict) and item.get("type")})


def _machine_problems(
    machine: Machine, *, by_network: bool = True, needs_inspection: bool = True,
    states: Collection[str] = lifecycle.INSTALLABLE,
) -> list[str]:  # fmt: skip
    problems, name = [], {"name": machine.name}
    # Whoever begins an install writes its name into the row; were it lost, the database holds one that is live.
    live = Install.objects.live().filter(machine=machine).first() if machine.handled_by else None
    if live:
        problems.append(
            _("%(name)s is in the hands of %(install)s (asked by %(who)s): cancel that first.")
            % {"name": machine.name, "install": live, "who": live.requested_by}
        )
    elif machine.handled_by:
        words = _("%(name)s is in the hands of %(who)s: cancel that first.")
        problems.append(words % {"name": machine.name, "who": machine.handled_by})
    elif machine.state not in states:
        state = str(lifecycle.State(machine.state).label).lower()
        words = _("%(name)s is %(state)s, nothing can be installed on it.")
        if states is not lifecycle.INSTALLABLE:
            words = _("%(name)s is %(state)s: that cannot be done with it now.")
        problems.append(words % {"name": machine.name, "state": state})
    if machine.protected:
        problems.append(_("%(name)s is protected: take the protection off in the inventory first.") % name)
    if own := own_hosts.why(machine):
        problems.append(own)
    if by_network and not hasattr(machine, "bmc"):
        problems.append(_("%(name)s has no power driver: choose one in the inventory.") % name)
    if by_network and not machine.interfaces.all():
        problems.append(_("%(name)s has no network card in the inventory: enter the MAC it boots from.") % name)
    if needs_inspection and machine.inspected_at is None:
        problems.append(_("%(name)s was never looked at from inside: inspect it, so that its disks are known.") % name)
    return problems


def _root_disk(machine: Machine, problems: list[str]) -> Disk | None:
    roots = [disk for disk in machine.disks.all() if disk.is_root]
    if len(roots) != 1:
        found = ", ".join(f"{disk} ({disk.path})" for disk in machine.disks.all()) or _("none")
        problems.append(
            _("%(count)s disks of %(name)s are marked as root disk, it must be one. Its disks: %(found)s.")
            % {"count": len(roots), "name": machine.name, "found": found}
        )
        return None
    disk = roots[0]
    if not disk.path:
        problems.append(
            _("The root disk %(disk)s was not in %(name)s at its last inspection: inspect it again.")
            % {"disk": disk, "name": machine.name}
        )
    return disk


def _common(machine: Machine, problems: list[str], *, by_network: bool = True) -> dict[str, Any]:
    """What the ramdisk needs whatever it does."""
    built = _ramdisk(machine)
    if by_network and built is None:
        problems.append(_("The ramdisk is not built yet: wait for it, or run `python3 manage.py ramdisk build`."))
    site = machine.site
    if by_network:
        problems.extend(reach.why_refused(site))
    consoles = LAB_ARGS if site.is_practice else REAL_ARGS
    extra = machine.type.kernel_args if machine.type else ""
    return {
        "attempt": {"machine": machine.name, "serial": machine.serial},
        "identity": identity_of(machine),
        "provision_url": reach.urls(site)["provision"],
        "image_url": reach.urls(site)["images"],
        "ramdisk": built.version if built else "",
        "kernel_args": f"{consoles} {extra}".strip(),
        "boot_order": machine.boot_order,
        "machine_was": machine.state,
        "restarts_itself": hasattr(machine, "bmc") and machine.bmc.driver == "manual",
    }


def _ramdisk(machine: Machine) -> "ramdisk.Ramdisk | None":
    real = None if machine.site.is_practice else ramdisk.latest("real", settings.DATA)
    return real or ramdisk.latest("lab", settings.DATA)


def image_facts(machine: Machine, image: Image) -> dict[str, Any]:
    """With where this machine fetches it."""
    base = machine.site.image_url or settings.IMAGE_URL
    return contents_of(image) | {"url": f"{base}/image/{image.sha256}"}


def contents_of(image: Image) -> dict[str, Any]:
    """`metadata`, `files` and `samples` stand in it where the image has some."""
    more = {"metadata": image.metadata, "files": image.files, "samples": image.report.get("samples")}
    return {
        "name": image.name, "kind": image.kind, "sha256": image.sha256, "size_bytes": image.size_bytes,
        "unpacked_bytes": image.unpacked_bytes, "has_attributes": image.report.get("has_attributes", True),
        **{name: value for name, value in more.items() if value},
    }  # fmt: skip
