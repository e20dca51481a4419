"""Will this image start on this machine? Its drivers against what inspection found in the machine.

Only what lies between the root disk and the processor can keep it from starting; network cards make a warning.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from django.utils.translation import gettext as _

from installs.images.contract import drivers
from installs.images.contract.drivers import Drivers
from installs.images.intake import drivers_folder
from installs.models import Image
from machines.models import Disk, Machine

Verdict = Literal["yes", "no", "unknown"]
# Devices without which no disk is found (bus and class as modules.alias has them): others, like bridges and memory
# controllers, work without a module or are not in the way.
STORAGE = ("virtio:", "scsi:", "nvme:", "xen:vbd", "vmbus:", "hid:", "usb:", "mmc:")


@dataclass(frozen=True)
class Match:
    """`missing` are drivers or devices in plain words, `warnings` what works less well; `words` is one sentence."""

    verdict: Verdict
    missing: list[str] = field(default_factory=list)
    words: str = ""
    warnings: list[str] = field(default_factory=list)


def match(image: Image, machine: Machine) -> Match:
    """Reads `machine.disks` and a file that is kept per digest; quick from the second machine of a make on."""
    found = drivers.load(drivers_folder(), image.sha256)
    if found is None or not (found.aliases or found.builtin):
        return Match("unknown", words=_("Nobody has looked into the drivers of %(image)s.") % {"image": image.name})
    path = _storage_path(machine)
    if not path:
        return Match(
            "unknown", words=_("Inspect %(name)s: how its disk is attached is not known.") % {"name": machine.name}
        )
    if found.in_initrd is None:
        return Match("unknown", words=_("The initrd of %(image)s could not be looked into.") % {"image": image.name})
    missing = [word for device in path if (word := _missing(image, found, *device))]
    warnings = _network_warnings(image, found, machine)
    if missing:
        return Match("no", missing, " ".join(missing), warnings)
    return Match("yes", [], _("It has the drivers of the disk's controller."), warnings)


def _storage_path(machine: Machine) -> list[tuple[str, str]]:
    """(modalias, driver in the ramdisk) of what leads to the root disk; empty where nobody knows."""
    facts = machine.facts if isinstance(machine.facts, dict) else {}
    roots = [disk for disk in machine.disks.all() if disk.is_root]
    found = [item for item in _dicts(facts.get("disks")) if any(_is(disk, item) for disk in roots)]
    path = [
        (str(each.get("modalias", "")), str(each.get("driver", "")))
        for item in found
        for each in _dicts(item.get("drivers"))
    ]
    storage = [device for device in path if _is_storage(device[0])]
    # Inspected by an older Dodai, or a disk behind several paths: every controller of the machine then counts.
    return storage or [(alias, "") for alias in _texts(facts.get("modaliases")) if _pci_class(alias).startswith("01")]


def _is(disk: Disk, item: dict[str, Any]) -> bool:
    return (disk.serial or None, disk.wwn or None) == (item.get("serial") or None, item.get("wwn") or None)


def _is_storage(modalias: str) -> bool:
    return modalias.startswith(STORAGE) or _pci_class(modalias)[:2] in ("01", "0c")


def _pci_class(modalias: str) -> str:
    """Base class and subclass of a PCI device, like 0106; empty for others."""
    if not modalias.startswith("pci:"):
        return ""
    base, _bar, rest = modalias.partition("bc")[2].partition("sc")
    return base + rest[:2]


def _missing(image: Image, found: Drivers, modalias: str, driver: str) -> str:
    """What is missing for one device, or ""."""
    loadable, builtin = _modules(drivers_folder(), image.sha256, modalias)
    known = drivers.canonical(driver)
    if builtin or known in found.builtin:
        return ""
    names = loadable or ({known} if known and any(known == module for _pattern, module in found.aliases) else set())
    assert found.in_initrd is not None
    if known in found.in_initrd or names & found.in_initrd:
        return ""
    if names:
        name = known if known in names else sorted(names)[0]
        return _("%(driver)s is in this image, but not in its initramfs.") % {"driver": name}
    if known and known not in ("pcieport", "sd"):
        return _("No %(driver)s in this image.") % {"driver": known}
    if _pci_class(modalias).startswith("01"):
        return _("No driver for the controller %(device)s in this image.") % {"device": _pci_name(modalias)}
    return ""


def _network_warnings(image: Image, found: Drivers, machine: Machine) -> list[str]:
    facts = machine.facts if isinstance(machine.facts, dict) else {}
    warnings = []
    for modalias in _texts(facts.get("modaliases")):
        if _pci_class(modalias)[:2] == "02":
            loadable, builtin = _modules(drivers_folder(), image.sha256, modalias)
            if not loadable and not builtin:
                warnings.append(_("No driver for the network card %(device)s.") % {"device": _pci_name(modalias)})
    return list(dict.fromkeys(warnings))


@lru_cache(maxsize=4096)
def _modules(folder: Path, digest: str, modalias: str) -> tuple[frozenset[str], frozenset[str]]:
    found = drivers.load(folder, digest)
    return found.modules_for(modalias) if found else (frozenset(), frozenset())


def _pci_name(modalias: str) -> str:
    """`1000:005d`, as lspci and web searches know it."""
    return f"{modalias[9:13]}:{modalias[18:22]}".lower()


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _texts(value: object) -> Iterable[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
