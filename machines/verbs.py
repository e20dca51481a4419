"""Which buttons make sense for a machine at this moment. What a user may press is a question of its own."""

from machines import lifecycle
from machines.lifecycle import State
from machines.models import Machine
from machines.power import DRIVERS
from machines.power.base import Power

POWER_WHILE = {
    Power.ON: ("soft", "off", "reset"),
    Power.OFF: ("on",),
    Power.UNKNOWN: ("on", "soft", "off", "reset"),
}


def possible(machine: Machine) -> frozenset[str]:
    """Of: inspect, install, set_aside, take_back, retire, bring_back, choose_cluster, and `power`."""
    if machine.handled_by:
        return frozenset()
    verbs = {"choose_cluster"} | lifecycle.allowed(machine.state) & {"set_aside", "take_back", "retire", "bring_back"}
    if machine.protected:
        return frozenset(verbs - {"retire"})
    if machine.state in lifecycle.INSTALLABLE:
        verbs |= {"inspect", "install"}
    if power_actions(machine):
        verbs.add("power")
    return frozenset(verbs)


def power_actions(machine: Machine) -> tuple[str, ...]:
    """The power commands that would change something; none where a person is the power driver."""
    bmc = getattr(machine, "bmc", None)
    driver = DRIVERS.get(bmc.driver) if bmc else None
    if driver is None or not driver.can_be_read or machine.state == State.RETIRED:
        return ()
    return POWER_WHILE[machine.power]
