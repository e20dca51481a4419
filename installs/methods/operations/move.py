"""Moves a machine, with what runs on it, to another cluster: its ports change their VLAN, nothing else is touched."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop as _

from installs.methods.operations.base import PortOperation, cluster_of, problems_of_cluster
from installs.models import Install, add_alert
from installs.ports import which
from machines import addressing
from machines.actions import Refused
from machines.lifecycle import State
from machines.models import Interface, Machine


class Move(PortOperation):
    """Told `cluster`, a number or None: into no cluster, and then its ports are parked."""

    slug = "move"
    label = _("Move to another cluster")
    steps = ("join_vlan", "check_ports")
    waits = {}
    milestones = (("join_vlan", _("Switch ports")), ("check_ports", _("Switches asked where they are")))
    done_label = _("Moved")
    possible_in = frozenset({State.IN_USE, State.WARM, State.FREE})

    def machine_problems(self, machine: Machine, told: dict[str, Any]) -> list[str]:
        return problems_of_cluster(told)

    def facts(self, machine: Machine, told: dict[str, Any]) -> dict[str, Any]:
        """The only card of a machine that nobody uses stays where Dodai reaches it."""
        return which.joining(machine, cluster_of(told), with_only_card=machine.state == State.IN_USE)

    def finished(self, install: Install, machine: Machine) -> None:
        """Its addresses follow it. They were not asked for: without one it is a member all the same."""
        cluster = cluster_of(install.plan.get("told", {}))
        try:
            with transaction.atomic():
                addressing.join(machine, cluster, kept=_kept(install, machine))
        except Refused as exc:
            machine.cluster = cluster
            add_alert(install, "address", str(exc))


def _kept(install: Install, machine: Machine) -> list[Interface]:
    """Cards whose OS goes on with its address in the VLAN where it was."""
    if machine.state == State.FREE:
        return []
    was = which.vlan_of(machine.cluster)
    moved = {entry["mac"] for entry in install.plan.get("ports", ()) if entry.get(which.HOME) != was}
    return [card for card in machine.interfaces.all() if card.mac not in moved]
