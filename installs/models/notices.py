"""Who is told how installs ended, what is still to be told, and each try to do so."""

import secrets

from django.db import models
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from dodaiweb import keys
from installs.models.install import Install
from machines.models import Cluster

SECRET_PURPOSE = "notice secret"  # noqa: S105 - what it is for, not what it is


class NoticeTarget(models.Model):
    """An address that is told how installs end, and when they need somebody: of one cluster, or of all machines."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", _("Webhook")
        MAIL = "mail", _("Mail")

    name = models.CharField(_("name"), max_length=63, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.WEBHOOK)
    address = models.CharField(_("address"), max_length=500)
    secret_sealed = models.TextField(blank=True, editable=False)
    is_private = models.BooleanField(_("allow private addresses"), default=False)
    # A target of a cluster goes with it: without one it would be told of everybody's machines.
    cluster = models.ForeignKey(Cluster, models.CASCADE, null=True, blank=True, related_name="notice_targets")
    on_failed = models.BooleanField(_("failed"), default=True)
    on_installed = models.BooleanField(_("installed"), default=False)
    on_cancelled = models.BooleanField(_("cancelled"), default=False)
    on_operator = models.BooleanField(_("waits for an operator"), default=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("notice target")
        verbose_name_plural = _("notice targets")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def secret(self) -> str:
        return keys.decrypt(self.secret_sealed, purpose=SECRET_PURPOSE)

    def set_secret(self, plain: str) -> None:
        self.secret_sealed = keys.encrypt(plain, purpose=SECRET_PURPOSE)


class NoticeQuerySet(models.QuerySet["Notice"]):
    def waiting(self) -> "NoticeQuerySet":
        return self.filter(ended_at=None)

    def due(self) -> "NoticeQuerySet":
        moment = now()
        free = Q(lease_until=None) | Q(lease_until__lt=moment)
        return self.waiting().filter(free, again_at__lte=moment, target__is_enabled=True).order_by("again_at", "pk")


def new_uid() -> str:
    return f"msg_{secrets.token_hex(16)}"


class Notice(models.Model):
    """Something to be told, written in the transaction of what it tells. Its `uid` is the same at each try."""

    class Kind(models.TextChoices):
        FAILED = "install.failed", _("failed")
        INSTALLED = "install.installed", _("installed")
        CANCELLED = "install.cancelled", _("cancelled")
        OPERATOR = "install.operator", _("waits for an operator")
        WAVE_STOPPED = "wave.stopped", _("wave stopped")
        TEST = "test", _("test")

    target = models.ForeignKey(NoticeTarget, models.CASCADE, related_name="notices")
    install = models.ForeignKey(Install, models.CASCADE, null=True, related_name="notices")
    wave = models.ForeignKey("installs.Wave", models.CASCADE, null=True, related_name="notices")
    uid = models.CharField(max_length=40, unique=True, default=new_uid)
    kind = models.CharField(max_length=20, choices=Kind)
    payload = models.JSONField(help_text="The body, as it was when it happened")
    created_at = models.DateTimeField(default=now)
    again_at = models.DateTimeField(default=now)
    lease_until = models.DateTimeField(null=True)
    owner = models.CharField(max_length=32, blank=True)
    count = models.PositiveSmallIntegerField(default=0, help_text="How often it was tried")
    ended_at = models.DateTimeField(null=True)
    is_delivered = models.BooleanField(default=False)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["target", "install", "kind"], condition=Q(install__isnull=False),
                name="an_end_is_told_once_to_each",
            ),
            models.UniqueConstraint(
                fields=["target", "wave", "kind"], condition=Q(wave__isnull=False), name="a_wave_is_told_once_to_each"
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["again_at"], condition=Q(ended_at=None), name="waiting_notices_by_time")]

    def __str__(self) -> str:
        return f"{self.kind} {self.uid}"


class NoticeTry(models.Model):
    """One try to deliver a notice, and how it went."""

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="tries")
    at = models.DateTimeField(default=now)
    took = models.DurationField()
    is_good = models.BooleanField()
    result = models.CharField(max_length=300)

    class Meta:
        verbose_name = _("delivery attempt")
        verbose_name_plural = _("delivery attempts")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"try of {self.notice_id}: {self.result}"
