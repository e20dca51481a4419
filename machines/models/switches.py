"""Switches, what may be moved on them, and each move of a port."""

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from dodaiweb import keys
from machines.models.hardware import Interface
from machines.models.history import InventoryHistory
from machines.models.places import Vlan
from machines.network import DRIVERS
from machines.network.base import NetworkRefused, SwitchEndpoint
from machines.network.rules import Rules, parse_ports, parse_vlans

SWITCH_SECRETS_PURPOSE = "switch secrets"
# The drivers know nothing of Django: their words are marked for translation here.
DRIVER_LABELS = (
    gettext_noop("By hand (an operator moves ports)"), gettext_noop("Fake (in memory)"),
    gettext_noop("The lab's own switch"), gettext_noop("dodai's OpenFlow controller (SOAP)"),
    gettext_noop("Command line over SSH (Arista, Cisco, SONiC, Cumulus)"), gettext_noop("Open vSwitch"),
)  # fmt: skip
MANUAL = "manual"


def network_drivers() -> list[tuple[str, str]]:
    return [(slug, gettext(driver.label)) for slug, driver in DRIVERS.items()]


def validate_vlans(text: str) -> None:
    try:
        parse_vlans(text)
    except ValueError as exc:
        words = _("%(word)s is no VLAN: write numbers of 1 to 4094 and ranges, like 210-219, 300")
        raise ValidationError(words, params={"word": str(exc)[:40]}) from exc


def validate_ports(text: str) -> None:
    try:
        parse_ports(text)
    except ValueError as exc:
        words = _("%(word)s is no name of a port: write names and ranges, like Ethernet1/1..24, Ethernet2/7")
        raise ValidationError(words, params={"word": str(exc)[:40]}) from exc


class Switch(models.Model):
    """A switch that Dodai may move ports of: those on its list, into the VLANs on its list, and nothing else."""

    name = models.CharField(_("name"), max_length=63, unique=True)
    driver = models.CharField(_("network driver"), max_length=20, choices=network_drivers, default=MANUAL)
    settings = models.JSONField(_("settings"), default=dict, blank=True, editable=False)
    secrets_sealed = models.TextField(_("secret settings"), blank=True, editable=False)
    vlans = models.CharField(
        _("VLANs that Dodai may use"), max_length=1000, blank=True, validators=[validate_vlans],
        help_text=_("Numbers and ranges, like 210-219, 300. A port that is in another VLAN is left alone."),
    )  # fmt: skip
    ports = models.TextField(
        _("ports that Dodai may move"), max_length=20_000, blank=True, validators=[validate_ports],
        help_text=_("Names and ranges, like Ethernet1/1..24, Ethernet2/7. Empty: none."),
    )  # fmt: skip
    quarantine = models.ForeignKey(
        Vlan, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("quarantine VLAN"),
        help_text=_("Where ports of machines wait that belong to nobody."),
    )  # fmt: skip
    notes = models.TextField(_("notes"), blank=True)

    # Whoever talks to it has it for so long; nobody holds a lock of the database meanwhile.
    held_by = models.CharField(max_length=32, blank=True, editable=False)
    held_until = models.DateTimeField(null=True, blank=True, editable=False)
    # Read ports: an operator asks, a worker reads and stores what the switch said.
    read_asked_by = models.CharField(max_length=150, blank=True, editable=False)
    read_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    read_at = models.DateTimeField(_("ports read"), null=True, blank=True, editable=False)
    read_report = models.JSONField(default=list, blank=True, editable=False)

    history = InventoryHistory("name", "driver", "settings", "vlans", "ports", "quarantine", "notes")

    class Meta:
        verbose_name = _("switch")
        verbose_name_plural = _("switches")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def rules(self) -> Rules:
        """The safe-list as the mover wants it."""
        quarantine = self.quarantine.vid if self.quarantine else None
        return Rules(parse_vlans(self.vlans), parse_ports(self.ports), quarantine)

    def endpoint(self) -> SwitchEndpoint:
        """Everything a driver needs, secrets in the clear: keep it short-lived. Raises NetworkRefused."""
        try:
            return SwitchEndpoint(self.name, self.driver, self.settings | self.secrets())
        except keys.KeyProblem as exc:
            raise NetworkRefused(f"the switch {self.name}: its secrets cannot be read: {exc}") from exc

    def secrets(self) -> dict[str, str]:
        """Raises KeyProblem."""
        opened = keys.decrypt(self.secrets_sealed, purpose=SWITCH_SECRETS_PURPOSE)
        return dict(json.loads(opened)) if opened else {}

    def set_secrets(self, secrets: Mapping[str, str]) -> None:
        filled = {name: value for name, value in secrets.items() if value}
        text = json.dumps(filled) if filled else ""
        self.secrets_sealed = keys.encrypt(text, purpose=SWITCH_SECRETS_PURPOSE)


class PortMove(models.Model):
    """A port that is being moved, was moved, or waits for a person to move it. Written before anything is sent."""

    class State(models.TextChoices):
        READING = "reading", _("under way")  # nothing is sent yet, and `before` says nothing
        MOVING = "moving", _("under way")
        ASKED = "asked", _("waits for an operator")
        MOVED = "moved", _("moved")
        PUT_BACK = "put_back", _("put back")
        FAILED = "failed", _("not moved")
        ASTRAY = "astray", _("could not be put back")
        WITHDRAWN = "withdrawn", _("no longer wanted")

    switch = models.ForeignKey(Switch, models.CASCADE, related_name="moves", verbose_name=_("switch"))
    port = models.CharField(_("port"), max_length=63)
    interface = models.ForeignKey(
        Interface, models.SET_NULL, null=True, related_name="moves", verbose_name=_("network card")
    )
    before = models.PositiveSmallIntegerField(null=True, help_text="VLAN that was read before; null: none")
    vlan = models.PositiveSmallIntegerField(null=True, help_text="VLAN it was to go to; null: none")
    after = models.PositiveSmallIntegerField(null=True, help_text="VLAN that was read afterwards; null: none")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.READING)
    problem = models.CharField(max_length=500, blank=True)
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=now)
    ended_by = models.CharField(max_length=150, blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("move of a port")
        verbose_name_plural = _("moves of ports")
        ordering = ["-pk"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["switch", "port"],
                condition=Q(state__in=["reading", "moving", "asked"]),
                name="one_live_move_per_port",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.switch_id} {self.port} to {self.vlan}"

    @property
    def is_open(self) -> bool:
        """Whether a person is to do it."""
        return self.state == self.State.ASKED


def settings_of(switch: Switch) -> dict[str, Any]:
    """What its driver declares and is not secret, with the defaults of what nobody entered."""
    driver = DRIVERS.get(switch.driver)
    declared = driver.settings if driver else ()
    return {one.name: switch.settings.get(one.name, one.default) for one in declared if one.kind != "secret"}
