"""What an install does to a machine's place in the network, said beforehand."""

from typing import Any

from django.utils.translation import gettext as _

from dodaiweb import formats
from installs.ports import which
from machines.models import Machine


def network_words(machine: Machine) -> list[str]:
    """Sentences for the plan. Needs `machine.cluster.vlan` loaded."""
    moved = which.of_install(machine)
    nothing = [] if moved else [_("Dodai moves no switch port: every card stays in the VLAN it is in now.")]
    return [*nothing, *place_words(machine)]


def place_words(machine: Machine) -> list[str]:
    """Where it is and ought to be, and which ports go there. Needs `machine.cluster.vlan` loaded."""
    ports = which.of_install(machine).get("ports", [])
    return [*map(_of_port, ports), _of_cluster(machine, is_moved=bool(ports)), *_of_cables(machine)]


def _of_port(entry: dict[str, Any]) -> str:
    if which.HOME not in entry:
        words = _("%(switch)s port %(port)s goes into VLAN %(boot_vlan)s for the network boot.")
    elif which.BOOT not in entry:
        words = _("%(switch)s port %(port)s goes into VLAN %(vlan)s.")
    else:
        words = _("%(switch)s port %(port)s goes into VLAN %(boot_vlan)s for the network boot, and into VLAN %(vlan)s "
                  "once the OS has called.")  # fmt: skip
    return words % entry


def _of_cluster(machine: Machine, *, is_moved: bool) -> str:
    vlan = machine.cluster.vlan if machine.cluster else None
    if machine.cluster is None:
        return _("It is in no cluster.")
    if vlan is None:
        return _("Its cluster %(cluster)s has no VLAN.") % {"cluster": machine.cluster}
    words = _("Its cluster %(cluster)s is on VLAN %(vlan)s: if its ports are not there, somebody must move them.")
    if is_moved:
        words = _("Its cluster %(cluster)s is on VLAN %(vlan)s.")
    return words % {"cluster": machine.cluster, "vlan": vlan}


def _of_cables(machine: Machine) -> list[str]:
    return [
        _("%(mac)s is cabled to %(switch)s, port %(port)s.")
        % {"mac": card.mac, "switch": card.switch, "port": card.switch_port or formats.UNKNOWN}
        for card in machine.interfaces.all()
        if card.switch
    ]
