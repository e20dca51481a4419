"""Gives machines addresses of their cluster's network, and takes them back."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from machines import addresses
from machines.actions import Refused
from machines.models import Cluster, Interface, Link, Machine


def card_of(machine: Machine) -> Interface | None:
    """The card that has its address in a cluster: the first service card that does not boot it, else that one."""
    cards = [card for card in machine.interfaces.all() if card.role == Interface.Role.SERVICE and not card.bond]
    return next((card for card in cards if not card.is_pxe), cards[0] if cards else None)


def address_of(machine: Machine) -> str:
    """With its prefix; "" where it has none, or gets one by DHCP."""
    card = card_of(machine)
    return card.address if card else ""


def warnings_of(machine: Machine) -> list[str]:
    """What is wrong with the address that an OS would be installed with, in words."""
    cluster, address = machine.cluster, address_of(machine)
    if cluster is None or not cluster.network or not address or addresses.is_of(cluster.network, address):
        return []
    words = _("%(name)s has the address %(address)s, which is not of the network of %(cluster)s (%(network)s): enter "
              "one of it in the inventory.")  # fmt: skip
    return [words % {"name": machine.name, "address": address, "cluster": cluster, "network": cluster.network}]


def join(machine: Machine, cluster: Cluster | None, *, kept: Iterable[Interface] = ()) -> None:
    """Make it a member of that cluster, or of none, with an address. The caller has locked the machine, and saves it.

    `kept` are cards whose addresses an OS goes on using where they are: nobody else gets these, and it gets none.
    What people entered and is not of the old cluster's network stays, unless that is where another cluster gives
    addresses and this one has a network of its own. Raises Refused when all addresses are taken.
    """
    givers = _others(cluster) if cluster and cluster.network else []
    _take_back(card for card in _given_cards(machine, givers) if card not in kept)
    machine.cluster = cluster
    if cluster is not None and cluster.network:
        # Whoever gives an address of this network holds its row: no two find the same one free.
        _give(machine, Cluster.objects.select_for_update(of=("self",), no_key=True).get(pk=cluster.pk))


def leave(machine: Machine) -> None:
    """Out of its cluster, and no OS of it is left: what an OS of it kept of any cluster's addresses goes back, too."""
    _take_back(_given_cards(machine, _others(machine.cluster)))
    machine.cluster = None


def expected(machines: Iterable[Machine], cluster: Cluster) -> dict[int, str]:
    """The address that each would get if they joined in this order now; "" where none is free. Gives none.

    Machines that keep what people entered have that. Needs `interfaces` and `cluster` loaded.
    """
    taken, others, found = _used(cluster), _others(cluster) if cluster.network else [], {}
    for machine in machines:
        card, given = card_of(machine), _given_cards(machine, others)
        taken -= {each.address.partition("/")[0] for each in given}
        if card is None or not cluster.network or (card.address and card not in given):
            found[machine.pk] = card.address if card and card not in given else ""
        elif address := _free(cluster, taken):
            found[machine.pk] = address
            taken.add(address.partition("/")[0])
    return found


def _give(machine: Machine, cluster: Cluster) -> None:
    card = card_of(machine)
    if card is None or card.address:
        return
    found = _free(cluster, _used(cluster))
    if not found:
        words = _("All addresses of the cluster %(cluster)s (%(network)s) are taken: give it a larger range.")
        raise Refused(words % {"cluster": cluster.name, "network": cluster.network})
    Interface.objects.filter(pk=card.pk).update(address=found, gateway=cluster.gateway, dns=cluster.dns)


def _free(cluster: Cluster, used: set[str]) -> str:
    return addresses.free(cluster.network, used, first=cluster.first_address, last=cluster.last_address)


def _used(cluster: Cluster) -> set[str]:
    """Addresses of its network that somebody has."""
    own = [cluster.gateway or "", *(word.strip() for word in cluster.dns.split(","))]
    return {address for address in (*_taken(), *own) if addresses.is_of(cluster.network, address)}


def _taken() -> set[str]:
    given = [*Interface.objects.exclude(address="").values_list("address", flat=True)]
    given += Link.objects.exclude(address="").values_list("address", flat=True)
    return {address.partition("/")[0] for address in given if address != "dhcp"}


def _take_back(cards: Iterable[Interface]) -> None:
    for card in cards:
        Interface.objects.filter(pk=card.pk).update(address="", gateway=None, dns="")


def _given_cards(machine: Machine, others: Iterable[Cluster]) -> list[Interface]:
    """The cards whose addresses go back when it leaves its cluster: of its network, or given by one of the others."""
    network, main = machine.cluster.network if machine.cluster else "", card_of(machine)
    return [
        card
        for card in machine.interfaces.all()
        if addresses.is_of(network, card.address) or (card == main and any(_gives(each, card) for each in others))
    ]


def _others(cluster: Cluster | None) -> list[Cluster]:
    return [each for each in Cluster.objects.exclude(network="") if each != cluster]


def _gives(cluster: Cluster, card: Interface) -> bool:
    first, last = cluster.first_address, cluster.last_address
    return addresses.may_be_given(cluster.network, card.address, first=first, last=last)
