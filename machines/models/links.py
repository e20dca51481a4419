"""Bonds and VLANs of a machine: interfaces that its OS makes out of network cards."""

import re
from contextlib import suppress
from ipaddress import ip_interface

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from machines import identity
from machines.models.history import InventoryHistory
from machines.models.machine import Machine

INTERFACE_NAME = RegexValidator(
    r"^[a-z][a-z0-9._-]{0,14}\Z", _("Up to 15 lower-case letters, digits, points and dashes; a letter comes first.")
)
DHCP = "dhcp"
RESERVED = re.compile(r"lo|all|default|bonding_masters|dodai[0-9]+")  # the kernel's, and those of our configuration


class Link(models.Model):
    """A bond of several cards, or one VLAN of a card or bond, with an address of its own."""

    class Kind(models.TextChoices):
        BOND = "bond", _("Bond")
        VLAN = "vlan", _("VLAN")

    class Mode(models.TextChoices):
        ACTIVE_BACKUP = "active-backup", _("One works, the others wait (active-backup)")
        LACP = "802.3ad", _("All, agreed with the switch (802.3ad)")
        BALANCE_XOR = "balance-xor", _("All, by address (balance-xor)")

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="links", verbose_name=_("machine"))
    kind = models.CharField(_("kind"), max_length=4, choices=Kind)
    name = models.CharField(
        _("name"), max_length=15, validators=[INTERFACE_NAME], help_text=_("As the OS calls it: bond0, vlan210")
    )
    mode = models.CharField(
        _("mode"), max_length=15, choices=Mode, blank=True, help_text=_("Of a bond; its cards name it in their column")
    )
    vid = models.PositiveSmallIntegerField(
        _("VLAN number"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(4094)]
    )
    over = models.CharField(
        _("carried by"), max_length=17, blank=True, help_text=_("Of a VLAN: the MAC of a card, or the name of a bond")
    )
    address = models.CharField(
        _("address"), max_length=49, blank=True, help_text=_("With prefix, like 10.0.0.7/24, or dhcp; empty: none")
    )
    gateway = models.GenericIPAddressField(_("gateway"), null=True, blank=True)
    dns = models.CharField(
        _("name servers"), max_length=255, blank=True, help_text=_("Name servers, separated by commas")
    )

    history = InventoryHistory("machine", "kind", "name", "mode", "vid", "over", "address", "gateway", "dns")

    class Meta:
        verbose_name = _("bond or VLAN")
        verbose_name_plural = _("bonds and VLANs")
        ordering = ["kind", "name"]
        constraints = [models.UniqueConstraint(fields=["machine", "name"], name="one_link_of_a_name_per_machine")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.over and self.kind == self.Kind.VLAN:
            with suppress(identity.BadIdentity):  # then it is the name of a bond
                self.over = identity.normal_mac(self.over)
        problems = {}
        if RESERVED.fullmatch(self.name):
            problems["name"] = _("This name is taken by the system: choose another one.")
        if self.kind == self.Kind.BOND and not self.mode:
            problems["mode"] = _("Choose how the bond uses its cards.")
        if self.kind == self.Kind.VLAN and self.vid is None:
            problems["vid"] = _("A VLAN has a number from 1 to 4094.")
        if self.kind == self.Kind.VLAN and not self.over:
            problems["over"] = _("Name the card (its MAC) or the bond that carries it.")
        if self.address not in ("", DHCP) and not is_address(self.address):
            problems["address"] = _("Write an address with its prefix, like 10.0.0.7/24, or dhcp.")
        if problems:
            raise ValidationError(problems)


def is_address(text: str) -> bool:
    """Whether it is an IP address with a prefix."""
    try:
        ip_interface(text)
    except ValueError:
        return False
    return "/" in text


def problems_of(machine: Machine) -> list[str]:
    """What does not fit together in the bonds and VLANs of a machine, in words."""
    cards, links = list(machine.interfaces.all()), list(machine.links.all())
    bonds = {link.name for link in links if link.kind == Link.Kind.BOND}
    carriers = bonds | {card.mac for card in cards}
    found = [
        gettext("Card %(mac)s is part of %(bond)s, which %(name)s does not have.")
        % {"mac": card.mac, "bond": card.bond, "name": machine.name}
        for card in cards
        if card.bond and card.bond not in bonds
    ]
    found += [
        gettext("The bond %(bond)s of %(name)s has no card: write its name into the column of its cards.")
        % {"bond": bond, "name": machine.name}
        for bond in sorted(bonds - {card.bond for card in cards})
    ]
    found += [
        gettext("%(vlan)s is carried by %(over)s, which is no card and no bond of %(name)s.")
        % {"vlan": link.name, "over": link.over, "name": machine.name}
        for link in links
        if link.kind == Link.Kind.VLAN and link.over not in carriers
    ]
    return found
