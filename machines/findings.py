"""What an inspection found beside what the inventory says. Facts come from machines: nothing of their shape is sure."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from machines import identity
from machines.models import Machine


@dataclass(frozen=True)
class Finding:
    """One fact. `found` or `entered` is "" where nobody said; `differs` when both did and they disagree."""

    name: str
    found: str = ""
    entered: str = ""
    differs: bool = False
    is_code: bool = False


def findings(machine: Machine) -> list[Finding]:
    """In the order in which people ask for them. Needs `machine.bmc` and `machine.type` loaded."""
    return [finding for finding in _findings(machine) if finding.found or finding.entered]


def _findings(machine: Machine) -> Iterator[Finding]:
    facts = machine.facts
    cpu = facts.get("cpu") if isinstance(facts.get("cpu"), dict) else {}
    product = " ".join(filter(None, (_text(facts, "manufacturer"), _text(facts, "product"))))
    yield Finding(_("Model"), product, machine.type.name if machine.type else "")
    serial = identity.normal_serial(_text(facts, "serial"))
    yield Finding(_("Serial number"), serial, machine.serial, _differ(serial, machine.serial), is_code=True)
    uuid = identity.normal_uuid(_text(facts, "uuid"))
    same = bool(uuid and machine.uuid) and identity.same_uuid(uuid, machine.uuid)
    yield Finding(_("System UUID"), uuid, machine.uuid, _differ(uuid, machine.uuid) and not same, is_code=True)
    yield Finding(_("Firmware"), machine.firmware.upper())
    yield Finding(_("Processor"), _text(cpu, "model"))
    yield Finding(_("Cores"), _cores(cpu))
    yield Finding(_("Memory"), _memory(facts.get("memory_bytes")))
    yield _bmc_address(machine, _text(facts, "bmc_address"))


def _bmc_address(machine: Machine, found: str) -> Finding:
    """Only addresses can be compared: the inventory may name the BMC, and a relay may stand before it."""
    bmc = getattr(machine, "bmc", None)
    entered = bmc.host if bmc else ""
    return Finding(_("BMC address"), found, entered, _are_other_addresses(found, entered), is_code=True)


def _are_other_addresses(one: str, other: str) -> bool:
    try:
        return ip_address(one) != ip_address(other) and not ip_address(other).is_loopback
    except ValueError:
        return False


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def _cores(cpu: dict[str, Any]) -> str:
    counts = [cpu[key] if _whole(cpu.get(key)) else 0 for key in ("sockets", "cores", "threads")]
    words = [
        ngettext("%(n)s socket", "%(n)s sockets", counts[0]) % {"n": counts[0]},
        ngettext("%(n)s core", "%(n)s cores", counts[1]) % {"n": counts[1]},
        ngettext("%(n)s thread", "%(n)s threads", counts[2]) % {"n": counts[2]},
    ]
    return ", ".join(word for word, count in zip(words, counts, strict=True) if count)


def _memory(count: Any) -> str:
    if not _whole(count):
        return ""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key)
    return value.strip()[:120] if isinstance(value, str) else ""


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
