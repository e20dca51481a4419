"""What is known of a machine's hardware, for people. Facts come from machines: nothing about their shape is sure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dodaiweb.formats import duration
from machines.models import POWER_IS_STALE_AFTER, Disk, Machine
from machines.power import DRIVERS
from machines.power.base import Power

UNREADABLE = "unreadable"  # nobody can ask: no fault of the machine


@dataclass(frozen=True)
class PowerWords:
    """`state` is on, off, unknown or UNREADABLE."""

    state: str
    text: str
    problem: str = ""


def power_words(machine: Machine) -> PowerWords:
    """How its power is, in words that say why it is unknown. Needs `machine.bmc` loaded."""
    state = machine.power
    if state != Power.UNKNOWN:
        return PowerWords(state, state.capitalize(), machine.power_error)
    bmc = getattr(machine, "bmc", None)
    if bmc is None:
        return PowerWords(UNREADABLE, "No BMC")
    driver = DRIVERS.get(bmc.driver)
    if driver and not driver.can_be_read:
        return PowerWords(UNREADABLE, "By hand")
    if machine.power_error:
        return PowerWords(state, "No reply", machine.power_error)
    if machine.power_seen_at is None:
        return PowerWords(state, "Not read yet")
    return PowerWords(state, "Unknown", f"no reading for more than {duration(POWER_IS_STALE_AFTER)}")


def hardware(machine: Machine) -> list[tuple[str, str]]:
    """(name, value) of what is known, in the order people ask for it."""
    return list(_hardware(machine))


def disk_contents(disk: Disk) -> str:
    """`ext4 “root”, swap`: the signatures that inspection found, or "" for none."""
    found = disk.signatures if isinstance(disk.signatures, list) else []
    words = []
    for item in found:
        if isinstance(item, dict) and item.get("type"):
            words.append(f"{item['type']} “{item['label']}”" if item.get("label") else str(item["type"]))
    return ", ".join(dict.fromkeys(words))


def _hardware(machine: Machine) -> Iterator[tuple[str, str]]:
    facts = machine.facts
    found = facts.get("cpu")
    cpu = found if isinstance(found, dict) else {}
    product = " ".join(filter(None, (_text(facts, "manufacturer"), _text(facts, "product"))))
    if product:
        yield "Model", product
    if machine.serial:
        yield "Serial number", machine.serial
    if machine.uuid:
        yield "System UUID", machine.uuid
    if processor := _text(cpu, "model"):
        yield "Processor", processor
    if counts := _cores(cpu):
        yield "Cores", counts
    if _whole(facts.get("memory_bytes")):
        yield "Memory", _memory(facts["memory_bytes"])
    if machine.firmware:
        yield "Firmware", machine.firmware.upper()
    if address := _text(facts, "bmc_address"):
        yield "BMC says", address


def _cores(cpu: dict[str, Any]) -> str:
    words = [f"{cpu[key]} {key}" for key in ("sockets", "cores", "threads") if _whole(cpu.get(key))]
    return ", ".join(word[:-1] if word.startswith("1 ") else word for word in words)


def _memory(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key)
    return value.strip()[:120] if isinstance(value, str) else ""


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
