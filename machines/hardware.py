"""A machine's power and what is on its disks, in words for people."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dodaiweb.formats import duration
from dodaiweb.stored_words import told
from machines.models import POWER_IS_STALE_AFTER, Disk, Machine
from machines.power import DRIVERS
from machines.power.base import Power

SWITCHED = {Power.ON: gettext_lazy("On"), Power.OFF: gettext_lazy("Off")}
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
        return PowerWords(state, str(SWITCHED[state]), told(machine.power_error))
    bmc = getattr(machine, "bmc", None)
    if bmc is None:
        return PowerWords(UNREADABLE, _("No BMC"))
    driver = DRIVERS.get(bmc.driver)
    if driver and not driver.can_be_read:
        return PowerWords(UNREADABLE, _("By hand"))
    if machine.power_error:
        return PowerWords(state, _("No reply"), told(machine.power_error))
    if machine.power_seen_at is None:
        return PowerWords(state, _("Not read yet"))
    stale = _("no reading for more than %(time)s") % {"time": duration(POWER_IS_STALE_AFTER)}
    return PowerWords(state, _("Unknown"), stale)


def disk_contents(disk: Disk) -> str:
    """`ext4 “root”, swap`: the signatures that inspection found, or "" for none."""
    found = disk.signatures if isinstance(disk.signatures, list) else []
    words = []
    for item in found:
        if isinstance(item, dict) and item.get("type"):
            words.append(f"{item['type']} “{item['label']}”" if item.get("label") else str(item["type"]))
    return ", ".join(dict.fromkeys(words))
