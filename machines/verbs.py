"""Which buttons make sense for a machine at this moment. What a user may press is a question of its own."""

from machines import lifecycle
from machines.lifecycle import State
from machines.models import Machine
from machines.power import DRIVERS
from machines.power.base import Power

BY_PEOPLE = frozenset({"set_aside", "take_back", "mark_broken", "repaired", "adopt", "retire", "bring_back"})
"""Of the table of transitions: those that are decided on a machine's page, and go no further than its row."""
BY_OPERATIONS = frozenset({"release", "undo_release", "erase"})
"""Of the same table: those that people ask for, and that take steps on the machine."""
POWER_WHILE = {
    Power.ON: ("soft", "off", "reset"),
    Power.OFF: ("on",),
    Power.UNKNOWN: ("on", "soft", "off", "reset"),
}


def possible(machine: Machine) -> frozenset[str]:
    """Of BY_PEOPLE and BY_OPERATIONS, and inspect, install, choose_cluster, reserve and `power`."""
    if machine.handled_by:
        return frozenset()
    verbs = {"reserve"} | lifecycle.allowed(machine.state) & BY_PEOPLE
    if machine.state not in (State.RELEASING, State.ERASING):
        verbs.add("choose_cluster")
    if machine.protected:
        return frozenset(verbs - {"retire"})
    verbs |= lifecycle.allowed(machine.state) & BY_OPERATIONS
    if machine.state == State.FREE and not machine.unerased:
        verbs.discard("erase")
    if machine.state == State.RELEASING and machine.erase_at is None:
        verbs.add("release")  # it did not end well: once more
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
