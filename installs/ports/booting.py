"""Machines with one card, which Dodai moves: whether they reach the network boot, wherever they were put."""

from django.utils.translation import gettext as _

from installs.ports import which
from machines import ports
from machines.models import Interface, Machine


def warnings_of(machine: Machine) -> list[str]:
    """What to know before it is installed. Needs `interfaces__switch` and `site` loaded."""
    if _lost(machine) is None:
        return []
    words = _("%(name)s has one cabled card only, and its site %(site)s has no provisioning VLAN: it boots from the "
              "VLAN that it is in now, and could not be released. Choose that VLAN under Admin, Sites.")  # fmt: skip
    return [words % {"name": machine.name, "site": machine.site}]


def problems_of_parking(machine: Machine) -> list[str]:
    """Why it could not be erased with its ports parked."""
    if _lost(machine) is None:
        return []
    words = _("%(name)s has one cabled card only, and its site %(site)s has no provisioning VLAN: with its port parked "
              "it could not be erased. Choose that VLAN under Admin, Sites.")  # fmt: skip
    return [words % {"name": machine.name, "site": machine.site}]


def problems_of_erasing(machine: Machine) -> list[str]:
    """The same where its port is parked now, as far as Dodai knows."""
    card = _lost(machine)
    return problems_of_parking(machine) if card and ports.is_parked(card) else []


def _lost(machine: Machine) -> Interface | None:
    """Its only card, where nobody says in which VLAN it boots."""
    card = which.only_card(list(machine.interfaces.all()))
    return card if card and machine.site.provision_vlan is None else None
