"""What an install does to a machine's place in the network. Today that is nothing, and it is said."""

from django.utils.translation import gettext as _

from dodaiweb import formats
from machines.models import Machine


def network_words(machine: Machine) -> list[str]:
    """Sentences for the plan. Needs `machine.cluster.vlan` loaded."""
    return [_("Dodai moves no switch port: every card stays in the VLAN it is in now."), *place_words(machine)]


def place_words(machine: Machine) -> list[str]:
    """Where it is and ought to be, of this machine only. Needs `machine.cluster.vlan` loaded."""
    return [_of_cluster(machine), *_of_cables(machine)]


def _of_cluster(machine: Machine) -> str:
    vlan = machine.cluster.vlan if machine.cluster else None
    if machine.cluster is None:
        return _("It is in no cluster.")
    if vlan is None:
        return _("Its cluster %(cluster)s has no VLAN.") % {"cluster": machine.cluster}
    words = _("Its cluster %(cluster)s is on VLAN %(vlan)s: if its ports are not there, somebody must move them.")
    return words % {"cluster": machine.cluster, "vlan": vlan}


def _of_cables(machine: Machine) -> list[str]:
    return [
        _("%(mac)s is cabled to %(switch)s, port %(port)s.")
        % {"mac": card.mac, "switch": card.switch, "port": card.switch_port or formats.UNKNOWN}
        for card in machine.interfaces.all()
        if card.switch
    ]
