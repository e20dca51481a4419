"""Which cards of a machine are moved, and where to. Pure but for `of_install` and `joining`, which read places.

In a plan `ports` is a list of `mac`, `switch`, `port`, and of `boot_vlan` (where its only card is for a network boot)
and `vlan` (where it belongs; null: parked). An entry without one of these is not moved then.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from machines.models import Cluster, Interface, Machine
from machines.ports import of_services as moved

BOOT, HOME = "boot_vlan", "vlan"


def only_card(cards: Sequence[Interface]) -> Interface | None:
    """The one that has to be in two places: where the machine boots from the network, and where it belongs."""
    return next((card for card in moved(cards) if card.is_pxe), None)


def entries(
    cards: Sequence[Interface], home: Mapping[str, int | None], boot: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Of those that are moved; `home` and `boot` are VLANs by MAC."""
    found = []
    for card in cards:
        where: dict[str, int | None] = {}
        where |= {BOOT: boot[card.mac]} if card.mac in boot else {}
        where |= {HOME: home[card.mac]} if card.mac in home else {}
        if where:
            found.append({"mac": card.mac, "switch": str(card.switch), "port": card.switch_port, **where})
    return found


def of_install(machine: Machine) -> dict[str, Any]:
    """What the plan of an install holds of ports; nothing where none is moved."""
    cards, vlan = _cards(machine), vlan_of(machine.cluster)
    home = {card.mac: vlan for card in moved(cards)} if vlan is not None else {}
    return as_facts(entries(cards, home, _boot(machine, cards)))


def of_boot(machine: Machine) -> dict[str, Any]:
    """The same for what boots from the network and leaves the machine where it belongs."""
    cards = _cards(machine)
    return as_facts(entries(cards, {}, _boot(machine, cards)))


def joining(machine: Machine, cluster: Cluster | None, *, with_only_card: bool = True) -> dict[str, Any]:
    """The same for a machine that runs and goes to another cluster, or to none: where that has no VLAN its ports are
    parked, as its OS is to be in reach of nobody there any more. Where neither has one they are left alone.
    """
    cards, vlan = _cards(machine), vlan_of(cluster)
    if vlan is None and vlan_of(machine.cluster) is None:
        return {}
    chosen = [card for card in moved(cards) if with_only_card or not card.is_pxe]
    return as_facts(entries(cards, dict.fromkeys((card.mac for card in chosen), vlan), {}))


def parking(machine: Machine, *, boots: bool = False) -> dict[str, Any]:
    """`boots`: it starts from the network before that."""
    cards = _cards(machine)
    boot = _boot(machine, cards) if boots else {}
    return as_facts(entries(cards, dict.fromkeys((card.mac for card in moved(cards)), None), boot))


def as_facts(ports: list[dict[str, Any]]) -> dict[str, Any]:
    return {"ports": ports} if ports else {}


def vlan_of(cluster: Cluster | None) -> int | None:
    return cluster.vlan.vid if cluster and cluster.vlan else None


def _cards(machine: Machine) -> list[Interface]:
    return list(machine.interfaces.all())


def _boot(machine: Machine, cards: Sequence[Interface]) -> dict[str, int]:
    only = only_card(cards)
    vlan = machine.site.provision_vlan if only else None
    return {only.mac: vlan.vid} if only and vlan else {}
