"""Where machines belong: sites, VLANs, clusters."""


from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from machines.models.history import InventoryHistory

KERNEL_ARGS = RegexValidator(r"^[A-Za-z0-9_.,:=/+\- ]*$", "Only letters, digits, spaces and . , : = / + - _")

HOST_NAME = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "Use lower-case letters, digits and hyphens, at most 63, as in a host name (RFC 1123).",
)


class Site(models.Model):
    """A place whose machines reach Dodai under the same URLs."""

    name = models.CharField(max_length=63, unique=True)
    provision_url = models.URLField(
        blank=True, help_text="How its machines reach Dodai; empty: as the server was started"
    )
    image_url = models.URLField(blank=True)
    is_practice = models.BooleanField(default=False, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since when nobody wants it")
    reach_report = models.JSONField(default=dict, blank=True, editable=False)

    history = InventoryHistory("name", "provision_url", "image_url")

    def __str__(self) -> str:
        return self.name


class Vlan(models.Model):
    vid = models.PositiveSmallIntegerField(unique=True, validators=[MinValueValidator(1), MaxValueValidator(4094)])
    name = models.CharField(max_length=63)

    history = InventoryHistory("vid", "name")

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

    history = InventoryHistory("name", "vlan", "colour")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
