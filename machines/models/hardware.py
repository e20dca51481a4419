"""Network cards and disks, and cards that no machine is known to have."""

from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from machines import identity
from machines.models.history import InventoryHistory
from machines.models.machine import Machine, belongs_to


def validate_mac(value: str) -> None:
    try:
        identity.normal_mac(value)
    except identity.BadIdentity as exc:
        raise ValidationError(str(exc)) from exc


class Interface(models.Model):
    """A network card of a machine."""

    class Role(models.TextChoices):
        SERVICE = "service", _("Service")
        STORAGE = "storage", _("Storage")  # never leads out: no default route by it

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="interfaces", verbose_name=_("machine"))
    mac = models.CharField(_("MAC"), max_length=17, unique=True, validators=[validate_mac])
    name = models.CharField(_("name"), max_length=31, blank=True)
    is_pxe = models.BooleanField(_("boots from the network"), default=False)
    address = models.CharField(
        _("address"),
        max_length=49,
        blank=True,
        help_text=_("Static address with prefix, like 10.0.0.7/24; empty: DHCP"),
    )
    gateway = models.GenericIPAddressField(_("gateway"), null=True, blank=True)
    dns = models.CharField(
        _("name servers"), max_length=255, blank=True, help_text=_("Name servers, separated by commas")
    )
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.SERVICE)
    bond = models.CharField(
        _("part of bond"), max_length=15, blank=True, help_text=_("Its name; the bond has the address then")
    )
    switch = models.ForeignKey(
        "machines.Switch", models.PROTECT, null=True, blank=True, related_name="interfaces", verbose_name=_("switch")
    )
    switch_port = models.CharField(_("switch port"), max_length=63, blank=True)
    speed_mbps = models.PositiveIntegerField(null=True, blank=True, editable=False)
    has_link = models.BooleanField(null=True, blank=True, editable=False)
    seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = InventoryHistory(
        "machine", "mac", "name", "is_pxe", "role", "bond", "address", "gateway", "dns", "switch", "switch_port"
    )

    class Meta:
        verbose_name = _("network card")
        verbose_name_plural = _("network cards")
        ordering = ["-is_pxe", "mac"]
        constraints = [
            models.UniqueConstraint(fields=["machine"], condition=Q(is_pxe=True), name="one_pxe_interface_per_machine"),
        ]

    def __str__(self) -> str:
        return self.mac

    def clean(self) -> None:
        """Raises ValidationError that names both machines where another one has this card."""
        with suppress(identity.BadIdentity):  # that has been said by the field
            self.mac = identity.normal_mac(self.mac)
        twin = Interface.objects.exclude(pk=self.pk).filter(mac=self.mac).select_related("machine").first()
        if twin:
            raise belongs_to(twin.machine, "mac", self.mac, of=getattr(self, "machine", None))

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.mac = identity.normal_mac(self.mac)
        super().save(*args, **kwargs)


class Disk(models.Model):
    """A disk of a machine; those marked `is_root` are where the OS goes (one today, more for RAID later)."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="disks", verbose_name=_("machine"))
    serial = models.CharField(_("serial number"), max_length=127, blank=True)
    wwn = models.CharField(_("WWN"), max_length=191, blank=True)  # NVMe's own form has 140 characters
    size_bytes = models.PositiveBigIntegerField(_("size in bytes"), null=True, blank=True)
    model = models.CharField(_("model"), max_length=127, blank=True)
    transport = models.CharField(max_length=15, blank=True)
    path = models.CharField(
        _("path"), max_length=63, blank=True, help_text=_("Where Linux last saw it; never used to choose it")
    )
    is_root = models.BooleanField(_("installs go there"), default=False)
    is_rotational = models.BooleanField(default=False)
    is_removable = models.BooleanField(default=False)
    signatures = models.JSONField(default=list, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    history = InventoryHistory("machine", "serial", "wwn", "is_root")

    class Meta:
        verbose_name = _("disk")
        verbose_name_plural = _("disks")
        ordering = ["-is_root", "path", "serial"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "serial", "wwn"], condition=~Q(serial="", wwn=""), name="disk_is_listed_once"
            ),
        ]

    def __str__(self) -> str:
        return self.serial or self.wwn or self.path


class Sighting(models.Model):
    """A boot request of a MAC that no machine in the inventory has. It was sent to its own disk."""

    mac = models.CharField(_("MAC"), max_length=17, unique=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=now)
    last_seen_at = models.DateTimeField(_("last seen"), default=now)
    count = models.PositiveIntegerField(_("boot requests"), default=1)
    address = models.GenericIPAddressField(_("address"), null=True)
    platform = models.CharField(_("platform"), max_length=15, blank=True)
    serial = models.CharField(_("serial number"), max_length=127, blank=True)
    uuid = models.CharField(_("system UUID"), max_length=36, blank=True)

    class Meta:
        verbose_name = _("sighting")
        verbose_name_plural = _("sightings")
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return self.mac
