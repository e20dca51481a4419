"""What became of disks that were to be erased. A record outlives its machine and its attempt."""

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from installs.models.install import Install
from machines.models import Machine


class Erasure(models.Model):
    """One disk, one attempt. The text is what was signed; the other columns are for looking it up."""

    install = models.ForeignKey(Install, models.SET_NULL, null=True, related_name="erasures")
    machine = models.ForeignKey(Machine, models.SET_NULL, null=True, related_name="erasures")
    machine_name = models.CharField(_("machine"), max_length=63)
    serial = models.CharField(_("serial number"), max_length=127, blank=True, db_index=True)
    wwn = models.CharField(_("WWN"), max_length=191, blank=True)
    is_proven = models.BooleanField(_("erased"), default=False)
    at = models.DateTimeField(default=now)
    text = models.TextField(help_text="JSON, as it was signed")
    signature = models.CharField(max_length=88, help_text="Ed25519, in base64")

    class Meta:
        verbose_name = _("erasure of a disk")
        verbose_name_plural = _("erasures of disks")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.serial or self.wwn} of {self.machine_name}"
