"""Where machines belong: sites, VLANs, clusters."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from machines import addresses
from machines.models.history import InventoryHistory

KERNEL_ARGS = RegexValidator(r"^[A-Za-z0-9_.,:=/+\- ]*$", _("Only letters, digits, spaces and . , : = / + - _"))

HOST_NAME = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    _("Use lower-case letters, digits and hyphens, at most 63, as in a host name (RFC 1123)."),
)


def validate_network(value: str) -> None:
    try:
        addresses.network_of(value)
    except ValueError as exc:
        raise ValidationError(_("Write it like 10.2.10.0/24, with the prefix and without a host's part.")) from exc


class Site(models.Model):
    """A place whose machines reach Dodai under the same URLs."""

    name = models.CharField(_("name"), max_length=63, unique=True)
    provision_url = models.URLField(
        _("provisioning URL"), blank=True, help_text=_("How its machines reach Dodai; empty: as the server was started")
    )
    image_url = models.URLField(_("image URL"), blank=True)
    provision_vlan = models.ForeignKey(
        "machines.Vlan", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("provisioning VLAN"),
        help_text=_("Where machines boot from the network. The only card of a machine is moved there for it."),
    )  # fmt: skip
    is_practice = models.BooleanField(_("for practice"), default=False, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since when nobody wants it")
    reach_report = models.JSONField(default=dict, blank=True, editable=False)

    history = InventoryHistory("name", "provision_url", "image_url", "provision_vlan")

    class Meta:
        verbose_name = _("site")
        verbose_name_plural = _("sites")

    def __str__(self) -> str:
        return self.name


class Vlan(models.Model):
    vid = models.PositiveSmallIntegerField(
        _("VLAN number"), unique=True, validators=[MinValueValidator(1), MaxValueValidator(4094)]
    )
    name = models.CharField(_("name"), max_length=63)

    history = InventoryHistory("vid", "name")

    class Meta:
        verbose_name = _("VLAN")
        verbose_name_plural = _("VLANs")
        ordering = ["vid"]

    def __str__(self) -> str:
        return f"{self.vid} {self.name}"


class Cluster(models.Model):
    name = models.CharField(_("name"), max_length=63, unique=True)
    vlan = models.ForeignKey(
        Vlan, models.PROTECT, null=True, blank=True, related_name="clusters", verbose_name=_("VLAN")
    )
    colour = models.CharField(
        _("colour"),
        max_length=7,
        default="#14b8a6",
        validators=[RegexValidator(r"^#[0-9a-fA-F]{6}$", _("Write it as #14b8a6."))],
    )

    network = models.CharField(
        _("network"), max_length=49, blank=True, validators=[validate_network],
        help_text=_("Like 10.2.10.0/24: its machines get their addresses of it. Empty: they keep those they have."),
    )  # fmt: skip
    first_address = models.GenericIPAddressField(_("first address to give"), null=True, blank=True)
    last_address = models.GenericIPAddressField(_("last address to give"), null=True, blank=True)
    gateway = models.GenericIPAddressField(_("gateway"), null=True, blank=True)
    dns = models.CharField(_("name servers"), max_length=255, blank=True, help_text=_("Separated by commas"))

    history = InventoryHistory("name", "vlan", "colour", "network", "first_address", "last_address", "gateway", "dns")

    class Meta:
        verbose_name = _("cluster")
        verbose_name_plural = _("clusters")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError for addresses that are not of its network."""
        for name in ("first_address", "last_address", "gateway"):
            if (value := getattr(self, name)) and not addresses.is_of(self.network, value):
                words = gettext("%(address)s is no address of the network %(network)s.")
                network = self.network or gettext("(none is entered)")
                raise ValidationError({name: words % {"address": value, "network": network}})
