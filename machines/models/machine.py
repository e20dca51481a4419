"""Machines, and what those of one model have in common."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from machines import identity
from machines.lifecycle import State
from machines.models.history import InventoryHistory
from machines.models.places import HOST_NAME, KERNEL_ARGS, Cluster, Site
from machines.power import DRIVERS
from machines.power.base import Power

if TYPE_CHECKING:
    from machines.models.hardware import Interface

POWER_IS_STALE_AFTER = timedelta(minutes=3)


class BootOrder(models.TextChoices):
    DISK = "disk", _("Disk first; the network once, for an install")
    NETWORK = "network", _("Network first for ever; Dodai sends it to its disk")


class LocalBoot(models.TextChoices):
    AUTO = "auto", _("By firmware: exit 1 on UEFI, first disk on BIOS")
    EXIT = "exit", _("exit (plain)")
    EXIT_1 = "exit1", _("exit 1")
    SANBOOT = "sanboot", _("sanboot first disk")


class MachineType(models.Model):
    """What machines of one model have in common: how they boot."""

    name = models.CharField(_("name"), max_length=63, unique=True)
    boot_order = models.CharField(_("boot order"), max_length=10, choices=BootOrder, default=BootOrder.DISK)
    local_boot = models.CharField(_("boot from its disk"), max_length=10, choices=LocalBoot, default=LocalBoot.AUTO)
    kernel_args = models.CharField(
        _("kernel arguments"),
        max_length=255,
        blank=True,
        validators=[KERNEL_ARGS],
        help_text=_("Added to the installer's and the OS's kernel, like console=ttyS1,115200n8"),
    )

    history = InventoryHistory("name", "boot_order", "local_boot", "kernel_args")

    class Meta:
        verbose_name = _("machine type")
        verbose_name_plural = _("machine types")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class MachineQuerySet(models.QuerySet["Machine"]):
    def real(self) -> "MachineQuerySet":
        return self.filter(site__is_practice=False)

    def practice(self) -> "MachineQuerySet":
        return self.filter(site__is_practice=True)

    def with_mac(self, mac: str) -> "MachineQuerySet":
        return self.filter(interfaces__mac=mac)

    def to_poll(self) -> "MachineQuerySet":
        """Machines whose power can be asked for."""
        polled = [slug for slug, driver in DRIVERS.items() if driver.can_be_read]
        return self.filter(bmc__driver__in=polled).exclude(state=State.RETIRED).select_related("bmc__credentials")


class Machine(models.Model):
    name = models.CharField(_("name"), max_length=63, unique=True, validators=[HOST_NAME])
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.NEW, editable=False)
    site = models.ForeignKey(Site, models.PROTECT, related_name="machines", verbose_name=_("site"))
    type = models.ForeignKey(
        MachineType, models.PROTECT, null=True, blank=True, related_name="machines", verbose_name=_("type")
    )
    cluster = models.ForeignKey(
        Cluster, models.SET_NULL, null=True, blank=True, related_name="machines", verbose_name=_("cluster")
    )
    rack = models.CharField(_("rack"), max_length=31, blank=True)
    unit = models.PositiveSmallIntegerField(_("unit"), null=True, blank=True)
    serial = models.CharField(_("serial number"), max_length=127, blank=True)
    uuid = models.CharField(_("system UUID"), max_length=36, blank=True)
    owner = models.CharField(_("owner"), max_length=127, blank=True)
    notes = models.TextField(_("notes"), blank=True)
    protected = models.BooleanField(
        _("protected"), default=False, help_text=_("Nothing may be installed here or switched off.")
    )
    image_name = models.CharField(_("installed image"), max_length=127, blank=True, editable=False)

    handled_by = models.CharField(
        max_length=63, blank=True, editable=False, help_text="What is at work on it now, like an install: hands off"
    )
    aside_by = models.CharField(max_length=150, blank=True, editable=False)
    aside_why = models.CharField(max_length=255, blank=True, editable=False)
    aside_until = models.DateTimeField(null=True, blank=True, editable=False)
    broken_by = models.CharField(max_length=150, blank=True, editable=False)
    broken_why = models.CharField(max_length=255, blank=True, editable=False)
    unerased = models.BooleanField(
        default=False, editable=False, help_text="Its disks hold what somebody else must not see: erase them first"
    )
    erase_at = models.DateTimeField(null=True, editable=False, help_text="Released: until then all can be undone")
    reserved_for = models.CharField(max_length=150, blank=True, editable=False)
    reserved_until = models.DateTimeField(null=True, blank=True, editable=False)

    # What inspection found, in the shape of the ramdisk's facts; the inventory's own values stand in the columns.
    facts = models.JSONField(default=dict, blank=True, editable=False)
    inspected_at = models.DateTimeField(_("inspected"), null=True, blank=True, editable=False)

    power_state = models.CharField(max_length=10, choices=Power.choices(), default=Power.UNKNOWN, editable=False)
    power_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    power_since = models.DateTimeField(null=True, blank=True, editable=False)
    power_error = models.CharField(max_length=255, blank=True, editable=False)
    power_poll_at = models.DateTimeField(default=now, editable=False, db_index=True)

    created_at = models.DateTimeField(auto_now_add=True)

    objects = MachineQuerySet.as_manager()
    history = InventoryHistory(
        "name", "site", "type", "cluster", "rack", "unit", "serial", "uuid", "owner", "notes", "protected"
    )

    class Meta:
        verbose_name = _("machine")
        verbose_name_plural = _("machines")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("serial", condition=~Q(serial=""), name="serial_is_of_one_machine"),
            models.UniqueConstraint("uuid", condition=~Q(uuid=""), name="system_uuid_is_of_one_machine"),
        ]
        indexes = [
            # All that lists and maps filter, sort and show by: they need not read the facts of every machine for it.
            models.Index(
                fields=[
                    "name", "state", "site", "cluster", "rack", "unit", "power_state", "power_seen_at", "power_error",
                    "image_name", "serial", "owner",
                ],
                name="machines_as_listed",
            ),
        ]  # fmt: skip
        permissions = [
            ("operate_machine", gettext_noop("Can switch machines on and off and inspect them")),
            ("install_machine", gettext_noop("Can install machines, which wipes disks")),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError that names both machines where two would be one."""
        self.serial = identity.normal_serial(self.serial)
        self.uuid = self._checked_uuid()
        others = Machine.objects.exclude(pk=self.pk)
        if self.serial and (twin := others.filter(serial__iexact=self.serial).first()):
            raise belongs_to(twin, "serial", self.serial, of=self)
        if twin := others.filter(uuid__in=identity.spellings_of_uuid(self.uuid)).first():
            raise belongs_to(twin, "uuid", self.uuid, of=self)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.serial = identity.normal_serial(self.serial)
        self.uuid = identity.normal_uuid(self.uuid)
        if not self._state.adding and kwargs.get("update_fields") is None:
            # An edit of the inventory must not write back what the engine changed since the row was read.
            kwargs["update_fields"] = [f.name for f in self._meta.concrete_fields if f.editable and not f.primary_key]
        super().save(*args, **kwargs)

    @property
    def is_practice(self) -> bool:
        return self.site.is_practice

    @property
    def reservation(self) -> str:
        """Whom it is kept for at this moment; "" for nobody."""
        is_over = self.reserved_until is not None and self.reserved_until <= now()
        return "" if is_over else self.reserved_for

    @property
    def pxe_interface(self) -> "Interface | None":
        return next((card for card in self.interfaces.all() if card.is_pxe), None)

    @property
    def boot_order(self) -> str:
        return self.type.boot_order if self.type else BootOrder.DISK

    @property
    def firmware(self) -> str:
        """`bios`, `uefi`, or "" while nobody has looked."""
        return str(self.facts.get("firmware", ""))

    @property
    def power(self) -> Power:
        """The last reading, or unknown once it is too old to be believed."""
        if self.power_seen_at is None or self.power_seen_at < now() - POWER_IS_STALE_AFTER:
            return Power.UNKNOWN
        return Power(self.power_state)

    def _checked_uuid(self) -> str:
        value = identity.normal_uuid(self.uuid)
        if self.uuid and not value:
            raise ValidationError(
                {
                    "uuid": gettext("%(value)s is no UUID, or one that many machines carry: leave it empty.")
                    % {"value": repr(self.uuid)}
                }
            )
        return value


def belongs_to(twin: Machine, field: str, value: str, *, of: Machine | None) -> ValidationError:
    """What only one machine can have is another's already: both are named."""
    words = gettext("%(value)s belongs to %(owner)s") % {"value": value, "owner": twin.name}
    return ValidationError({field: f"{of.name}: {words}" if of and of.name else words})
