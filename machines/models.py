"""What exists: machines, their cards and disks, how to reach them, and where they belong."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from dodaiweb import keys
from machines import identity
from machines.lifecycle import State
from machines.power import DRIVERS
from machines.power.base import BmcEndpoint, Power, PowerRefused

BMC_PASSWORD_PURPOSE = "bmc password"  # noqa: S105 - what it is for, not what it is
KERNEL_ARGS = RegexValidator(r"^[A-Za-z0-9_.,:=/+\- ]*$", "Only letters, digits, spaces and . , : = / + - _")
HOST_NAME = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "Use lower-case letters, digits and hyphens, at most 63, as in a host name (RFC 1123).",
)
POWER_IS_STALE_AFTER = timedelta(minutes=3)


def validate_mac(value: str) -> None:
    try:
        identity.normal_mac(value)
    except identity.BadIdentity as exc:
        raise ValidationError(str(exc)) from exc


def power_drivers() -> list[tuple[str, str]]:
    return [(slug, driver.label) for slug, driver in DRIVERS.items()]


class Site(models.Model):
    """A place whose machines reach Dodai under the same URLs."""

    name = models.CharField(max_length=63, unique=True)
    provision_url = models.URLField(
        blank=True, help_text="How its machines reach Dodai; empty: as the server was started"
    )
    image_url = models.URLField(blank=True)
    is_practice = models.BooleanField(default=False, editable=False)

    def __str__(self) -> str:
        return self.name


class Credentials(models.Model):
    """A user and password that several BMCs share."""

    name = models.CharField(max_length=63, unique=True)
    username = models.CharField(max_length=64)
    password_sealed = models.TextField(blank=True, editable=False)

    class Meta:
        verbose_name_plural = "credentials"

    def __str__(self) -> str:
        return self.name

    @property
    def password(self) -> str:
        return keys.decrypt(self.password_sealed, purpose=BMC_PASSWORD_PURPOSE)

    def set_password(self, plain: str) -> None:
        self.password_sealed = keys.encrypt(plain, purpose=BMC_PASSWORD_PURPOSE)


class Vlan(models.Model):
    vid = models.PositiveSmallIntegerField(unique=True, validators=[MinValueValidator(1), MaxValueValidator(4094)])
    name = models.CharField(max_length=63)

    class Meta:
        ordering = ["vid"]
        verbose_name = "VLAN"

    def __str__(self) -> str:
        return f"{self.vid} {self.name}"


class Cluster(models.Model):
    name = models.CharField(max_length=63, unique=True)
    vlan = models.ForeignKey(Vlan, models.PROTECT, null=True, blank=True, related_name="clusters")
    colour = models.CharField(
        max_length=7, default="#14b8a6", validators=[RegexValidator(r"^#[0-9a-fA-F]{6}$", "Write it as #14b8a6.")]
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class BootOrder(models.TextChoices):
    DISK = "disk", "Disk first; the network once, for an install"
    NETWORK = "network", "Network first for ever; Dodai sends it to its disk"


class LocalBoot(models.TextChoices):
    AUTO = "auto", "By firmware: exit 1 on UEFI, first disk on BIOS"
    EXIT = "exit", "exit (plain)"
    EXIT_1 = "exit1", "exit 1"
    SANBOOT = "sanboot", "sanboot first disk"


class MachineType(models.Model):
    """What machines of one model have in common: how they boot."""

    name = models.CharField(max_length=63, unique=True)
    boot_order = models.CharField(max_length=10, choices=BootOrder, default=BootOrder.DISK)
    local_boot = models.CharField(max_length=10, choices=LocalBoot, default=LocalBoot.AUTO)
    kernel_args = models.CharField(
        max_length=255,
        blank=True,
        validators=[KERNEL_ARGS],
        help_text="Added to the installer's and the OS's kernel, like console=ttyS1,115200n8",
    )

    class Meta:
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
    name = models.CharField(max_length=63, unique=True, validators=[HOST_NAME])
    state = models.CharField(max_length=12, choices=State, default=State.NEW, editable=False)
    site = models.ForeignKey(Site, models.PROTECT, related_name="machines")
    type = models.ForeignKey(MachineType, models.PROTECT, null=True, blank=True, related_name="machines")
    cluster = models.ForeignKey(Cluster, models.SET_NULL, null=True, blank=True, related_name="machines")
    rack = models.CharField(max_length=31, blank=True)
    unit = models.PositiveSmallIntegerField(null=True, blank=True)
    serial = models.CharField(max_length=127, blank=True)
    uuid = models.CharField("system UUID", max_length=36, blank=True)
    owner = models.CharField(max_length=127, blank=True)
    notes = models.TextField(blank=True)
    protected = models.BooleanField(default=False, help_text="Nothing may be installed here or switched off.")
    image_name = models.CharField("installed image", max_length=127, blank=True, editable=False)

    handled_by = models.CharField(
        max_length=63, blank=True, editable=False, help_text="What is at work on it now, like an install: hands off"
    )
    aside_by = models.CharField(max_length=150, blank=True, editable=False)
    aside_why = models.CharField(max_length=255, blank=True, editable=False)
    aside_until = models.DateTimeField(null=True, blank=True, editable=False)

    # What inspection found, in the shape of the ramdisk's facts; the inventory's own values stand in the columns.
    facts = models.JSONField(default=dict, blank=True, editable=False)
    inspected_at = models.DateTimeField(null=True, blank=True, editable=False)

    power_state = models.CharField(max_length=10, choices=Power.choices(), default=Power.UNKNOWN, editable=False)
    power_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    power_since = models.DateTimeField(null=True, blank=True, editable=False)
    power_error = models.CharField(max_length=255, blank=True, editable=False)
    power_poll_at = models.DateTimeField(default=now, editable=False, db_index=True)

    created_at = models.DateTimeField(auto_now_add=True)

    objects = MachineQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("serial", condition=~Q(serial=""), name="serial_is_of_one_machine"),
            models.UniqueConstraint("uuid", condition=~Q(uuid=""), name="system_uuid_is_of_one_machine"),
        ]
        permissions = [
            ("operate_machine", "Can switch machines on and off and inspect them"),
            ("install_machine", "Can install machines, which wipes disks"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.serial = identity.normal_serial(self.serial)
        self.uuid = self._checked_uuid()

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
                {"uuid": f"{self.uuid!r} is no UUID, or one that many machines carry: leave it empty."}
            )
        if value:
            twin = Machine.objects.exclude(pk=self.pk).filter(uuid=identity.swapped_uuid(value)).first()
            if twin:
                raise ValidationError({"uuid": f"{twin.name} has this UUID in the other byte order."})
        return value


class Bmc(models.Model):
    """How to reach the management controller of a machine."""

    machine = models.OneToOneField(Machine, models.CASCADE, related_name="bmc")
    driver = models.CharField(max_length=20, choices=power_drivers)
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=623, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    system_id = models.CharField(max_length=63, blank=True, help_text="Which system, on a BMC that has several")
    credentials = models.ForeignKey(Credentials, models.PROTECT, null=True, blank=True, related_name="bmcs")
    username = models.CharField(max_length=64, blank=True)
    password_sealed = models.TextField(blank=True, editable=False)

    class Meta:
        verbose_name = "BMC"
        constraints = [
            models.UniqueConstraint(
                fields=["driver", "host", "port", "system_id"], condition=~Q(host=""), name="bmc_is_of_one_machine"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.driver} {self.host}:{self.port}" if self.host else self.driver

    def set_password(self, plain: str) -> None:
        self.password_sealed = keys.encrypt(plain, purpose=BMC_PASSWORD_PURPOSE)

    def endpoint(self) -> BmcEndpoint:
        """Everything a driver needs, with the password in the clear: keep it short-lived. Raises PowerRefused."""
        try:
            if self.credentials:
                username, password = self.credentials.username, self.credentials.password
            else:
                username, password = self.username, keys.decrypt(self.password_sealed, purpose=BMC_PASSWORD_PURPOSE)
        except keys.KeyProblem as exc:
            raise PowerRefused(f"{self.machine.name}: its BMC password cannot be read: {exc}") from exc
        return BmcEndpoint(
            machine=self.machine.name, driver=self.driver, host=self.host, port=self.port, system_id=self.system_id,
            username=username, password=password, uefi=self.machine.firmware == "uefi",
        )  # fmt: skip


class Interface(models.Model):
    """A network card of a machine."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="interfaces")
    mac = models.CharField("MAC", max_length=17, unique=True, validators=[validate_mac])
    name = models.CharField(max_length=31, blank=True)
    is_pxe = models.BooleanField("boots from the network", default=False)
    address = models.CharField(
        max_length=49, blank=True, help_text="Static address with prefix, like 10.0.0.7/24; empty: DHCP"
    )
    gateway = models.GenericIPAddressField(null=True, blank=True)
    dns = models.CharField(max_length=255, blank=True, help_text="Name servers, separated by commas")
    switch = models.CharField(max_length=63, blank=True)
    switch_port = models.CharField(max_length=63, blank=True)
    speed_mbps = models.PositiveIntegerField(null=True, blank=True, editable=False)
    has_link = models.BooleanField(null=True, blank=True, editable=False)
    seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-is_pxe", "mac"]
        constraints = [
            models.UniqueConstraint(fields=["machine"], condition=Q(is_pxe=True), name="one_pxe_interface_per_machine"),
        ]

    def __str__(self) -> str:
        return self.mac

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.mac = identity.normal_mac(self.mac)
        super().save(*args, **kwargs)


class Disk(models.Model):
    """A disk of a machine; those marked `is_root` are where the OS goes (one today, more for RAID later)."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="disks")
    serial = models.CharField(max_length=127, blank=True)
    wwn = models.CharField("WWN", max_length=191, blank=True)  # NVMe's own form has 140 characters
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    model = models.CharField(max_length=127, blank=True)
    transport = models.CharField(max_length=15, blank=True)
    path = models.CharField(max_length=63, blank=True, help_text="Where Linux last saw it; never used to choose it")
    is_root = models.BooleanField(default=False)
    is_rotational = models.BooleanField(default=False)
    is_removable = models.BooleanField(default=False)
    signatures = models.JSONField(default=list, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
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

    mac = models.CharField(max_length=17, unique=True)
    first_seen_at = models.DateTimeField(default=now)
    last_seen_at = models.DateTimeField(default=now)
    count = models.PositiveIntegerField(default=1)
    address = models.GenericIPAddressField(null=True)
    platform = models.CharField(max_length=15, blank=True)
    serial = models.CharField(max_length=127, blank=True)
    uuid = models.CharField(max_length=36, blank=True)

    class Meta:
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return self.mac


class PowerCommand(models.Model):
    """A power command an operator asked for. The row is the truth; the job on the queue is a doorbell."""

    class State(models.TextChoices):
        ASKED = "asked"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="power_commands")
    action = models.CharField(max_length=10)
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=now)
    again_at = models.DateTimeField(default=now, help_text="When a worker should look at it (again)")
    lease_until = models.DateTimeField(null=True)
    hard_at = models.DateTimeField(null=True, help_text="When a soft shutdown turns into a hard one")
    ended_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine"],
                condition=Q(state__in=["asked", "running"]),
                name="one_live_power_command_per_machine",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.machine_id}"


class Beat(models.Model):
    """The last sign of life of a process that must not stand still, like the watchdog."""

    name = models.CharField(max_length=31, primary_key=True)
    at = models.DateTimeField()
    boot_id = models.CharField(max_length=36, blank=True)
    boot_seconds = models.FloatField(default=0, help_text="CLOCK_BOOTTIME, which no clock step moves")

    def __str__(self) -> str:
        return self.name


class KeyProof(models.Model):
    """A known text sealed with the key of this database: a wrong key is noticed before it writes anything."""

    sealed = models.TextField()

    def __str__(self) -> str:
        return "proof of the key"
