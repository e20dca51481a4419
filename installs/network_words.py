"""What an install does to a machine's place in the network. Today that is nothing, and it is said."""

from django.utils.translation import gettext as _

from dodaiweb import formats
from machines.models import Machine


def network_words(machine: Machine) -> list[str]:
    """Sentences for the plan. Needs `machine.cluster.vlan` loaded."""
    words = [_("Dodai moves no switch port: every card stays in the VLAN it is in now.")]
    vlan = machine.cluster.vlan if machine.cluster else None
    if machine.cluster is None:
        words.append(_("It is in no cluster."))
    elif vlan is None:
        words.append(_("Its cluster %(cluster)s has no VLAN.") % {"cluster": machine.cluster})
    else:
        words.append(
            _("Its cluster %(cluster)s is on VLAN %(vlan)s: if its ports are not there, somebody must move them.")
            % {"cluster": machine.cluster, "vlan": vlan}
        )
    words += [
        _("%(mac)s is cabled to %(switch)s, port %(port)s.")
        % {"mac": card.mac, "switch": card.switch, "port": card.switch_port or formats.UNKNOWN}
        for card in machine.interfaces.all()
        if card.switch
    ]
    return words
