"""Brings back what a release took: the ports are where they were before it, the machine runs, its owner has it."""

from typing import Any

from django.utils.translation import gettext_noop as _

from installs.lifecycle import State as InstallState
from installs.methods.base import Outcome, Work
from installs.methods.operations.base import PortOperation, problems_of_power
from installs.methods.ramdisk import RamdiskMethod
from installs.models import Install
from installs.ports import back, moving, which
from machines import lifecycle
from machines.lifecycle import State
from machines.models import Machine


class UndoRelease(RamdiskMethod, PortOperation):
    slug = "undo-release"
    label = _("Undo the release")
    steps = ("unpark", "switch_on")
    waits = {}
    milestones = (("unpark", _("Switch ports")), ("switch_on", _("Power on")))
    done_label = _("Release undone")
    possible_in = frozenset({State.RELEASING})

    def machine_problems(self, machine: Machine, told: dict[str, Any]) -> list[str]:
        return problems_of_power(machine)

    def facts(self, machine: Machine, told: dict[str, Any]) -> dict[str, Any]:
        """Where nobody knows where a port was it goes where the machine belongs."""
        places, belongs = back.places_before(_releases(machine)), which.vlan_of(machine.cluster)
        home = {card.mac: belongs if before is None else before for card, before in places.items()}
        known = {mac: vlan for mac, vlan in home.items() if vlan is not None}
        return which.as_facts(which.entries(list(places), known, {}))

    def unpark(self, work: Work) -> Outcome:
        return moving.put(work, which.HOME)

    def switch_on(self, work: Work) -> Outcome:
        return self.power_on(work)

    def begun(self, install: Install, machine: Machine) -> None:
        machine.erase_at = None

    def finished(self, install: Install, machine: Machine) -> None:
        machine.state = lifecycle.after(machine.state, "undo_release")


def _releases(machine: Machine) -> list[Install]:
    """Those since it was last in use: one that failed may have parked ports, and another one found them parked."""
    others = machine.installs.filter(state=InstallState.INSTALLED).exclude(method__in=("release", "inspect", "move"))
    since = others.order_by("-pk").values_list("pk", flat=True).first() or 0
    return list(machine.installs.filter(method="release", pk__gt=since))
