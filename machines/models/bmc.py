"""How to reach the management controller of a machine."""

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from dodaiweb import keys
from machines import bmc_words, identity
from machines.bmc_probe import PROBES
from machines.models.history import InventoryHistory
from machines.models.machine import Machine, belongs_to
from machines.power import DRIVERS
from machines.power.base import BmcEndpoint, PowerRefused

BMC_PASSWORD_PURPOSE = "bmc password"  # noqa: S105 - what it is for, not what it is
IPMI_PORT = 623
# The drivers themselves know nothing of Django: their words are marked for translation here.
DRIVER_LABELS = (gettext_noop("By hand (no BMC)"), gettext_noop("Fake (in memory)"))


def power_drivers() -> list[tuple[str, str]]:
    return [(slug, gettext(driver.label)) for slug, driver in DRIVERS.items()]


class Credentials(models.Model):
    """A user and password that several BMCs share."""

    name = models.CharField(_("name"), max_length=63, unique=True)
    username = models.CharField(_("user name"), max_length=64)
    password_sealed = models.TextField(_("password"), blank=True, editable=False)

    history = InventoryHistory("name", "username")

    class Meta:
        verbose_name = _("credentials")
        verbose_name_plural = _("credentials")

    def __str__(self) -> str:
        return self.name

    @property
    def password(self) -> str:
        return keys.decrypt(self.password_sealed, purpose=BMC_PASSWORD_PURPOSE)

    def set_password(self, plain: str) -> None:
        self.password_sealed = keys.encrypt(plain, purpose=BMC_PASSWORD_PURPOSE)


class Bmc(models.Model):
    """How to reach the management controller of a machine."""

    machine = models.OneToOneField(Machine, models.CASCADE, related_name="bmc", verbose_name=_("machine"))
    driver = models.CharField(_("power driver"), max_length=20, choices=power_drivers)
    host = models.CharField(_("address"), max_length=255, blank=True)
    port = models.PositiveIntegerField(
        _("port"), default=623, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    system_id = models.CharField(
        _("system"), max_length=63, blank=True, help_text=_("Which system, on a BMC that has several")
    )
    credentials = models.ForeignKey(
        Credentials, models.PROTECT, null=True, blank=True, related_name="bmcs", verbose_name=_("credentials")
    )
    username = models.CharField(_("user name"), max_length=64, blank=True)
    password_sealed = models.TextField(_("password"), blank=True, editable=False)

    # What Test BMC found, and what the driver uses from then on.
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    test_report = models.JSONField(default=dict, blank=True, editable=False)
    cipher_suite = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    privilege = models.CharField(max_length=15, blank=True, editable=False)
    tls_fingerprint = models.CharField(max_length=64, blank=True, editable=False)

    history = InventoryHistory("machine", "driver", "host", "port", "system_id", "credentials", "username")

    class Meta:
        verbose_name = _("BMC")
        verbose_name_plural = _("BMCs")
        constraints = [
            models.UniqueConstraint(
                fields=["driver", "host", "port", "system_id"], condition=~Q(host=""), name="bmc_is_of_one_machine"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.driver} {self.host}:{self.driver_port}" if self.host else self.driver

    def clean(self) -> None:
        """Raises ValidationError that names both machines where another one has this BMC."""
        self.host = identity.normal_host(self.host)
        if not self.host or (driver := DRIVERS.get(self.driver)) is None or not driver.needs_address:
            return
        others = Bmc.objects.exclude(pk=self.pk).filter(host__iexact=self.host).select_related("machine")
        if twin := next((other for other in others if other.reach == self.reach), None):
            raise belongs_to(twin.machine, "host", self.host, of=getattr(self, "machine", None))

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.host = identity.normal_host(self.host)
        super().save(*args, **kwargs)

    @property
    def reach(self) -> tuple[str, int, str]:
        """What only one BMC can have. IPMI and Redfish of one BMC have ports of their own: 0 stands for those."""
        driver = DRIVERS.get(self.driver)
        port = 0 if driver and self.driver_port == driver.default_port else self.driver_port
        return identity.normal_host(self.host), port, self.system_id if self.driver != "ipmi" else ""

    @property
    def driver_port(self) -> int:
        """The port; 623 stands in rows that nobody changed, where other drivers than IPMI have their own."""
        driver = DRIVERS.get(self.driver)
        return driver.default_port if driver and self.port == IPMI_PORT else self.port

    @property
    def is_tested(self) -> bool:
        """Whether it was tested as it is entered now."""
        return self.tested_at is not None and self.test_report.get("of") == self.identity

    @property
    def can_be_tested(self) -> bool:
        return self.driver in PROBES and bool(self.host)

    @property
    def test_words(self) -> list[bmc_words.Sentence]:
        """What its last test found, worst first, in the reader's language."""
        return bmc_words.sentences(self.test_report)

    @property
    def has_other_certificate(self) -> bool:
        """Whether the last test found another certificate than the accepted one."""
        return any(item.get("code") == "certificate-changed" for item in self.test_report.get("findings", ()))

    @property
    def identity(self) -> str:
        """What a test is true for."""
        return f"{self} {self.system_id} {self.credentials_id or ''} {self.username}".strip()

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
            machine=self.machine.name, driver=self.driver, host=self.host, port=self.driver_port,
            system_id=self.system_id, username=username, password=password,
            uefi={"uefi": True, "bios": False}.get(self.machine.firmware),
            cipher_suite=self.cipher_suite if self.is_tested else None,
            privilege=self.privilege if self.is_tested else "",
            tls_fingerprint=self.tls_fingerprint, ca_file=settings.BMC_CA_FILE,
        )  # fmt: skip
