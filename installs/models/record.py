"""What happened during an attempt, and what the machine said."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from installs.models.install import Install

LOG_LIMIT_BYTES = 10 << 20
BOOT_FLAG_LOST = "boot-flag-lost"  # a note: the BMC did not keep the boot device it was told


class Event(models.Model):
    """Something that happened to an install. Only ever added to."""

    class Kind(models.TextChoices):
        STATE = "state"  # a transition of the table
        MACHINE = "machine"  # the machine said so; each name once an attempt
        PHASE = "phase"  # a phase of the script began
        STEP = "step"  # a step of the method began
        NOTE = "note"
        ALERT = "alert"

    install = models.ForeignKey(Install, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=now)
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.SlugField()
    text = models.CharField(max_length=1000, blank=True)
    by = models.CharField(max_length=150, blank=True)
    fence = models.PositiveIntegerField(default=0)
    address = models.GenericIPAddressField(null=True)
    data = models.JSONField(default=dict)
    repeated = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["install", "kind", "name"],
                condition=Q(kind__in=["machine", "phase"]),
                name="a_machine_says_each_thing_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class LogChunk(models.Model):
    """Lines that a machine sent, in order; at most LOG_LIMIT_BYTES an install."""

    install = models.ForeignKey(Install, models.CASCADE, related_name="log")
    at = models.DateTimeField(default=now)
    text = models.TextField()

    class Meta:
        verbose_name = _("log")
        verbose_name_plural = _("logs")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"log {self.pk}"


def add_alert(install: Install, name: str, text: str) -> None:
    """Note something that an operator should look at; again and again only as a count."""
    earlier = install.events.filter(kind=Event.Kind.ALERT, name=name).first()
    if earlier:
        count_repeat(earlier)
    else:
        add_event(install, Event.Kind.ALERT, name, text=text)


def count_repeat(event: Event) -> None:
    Event.objects.filter(pk=event.pk).update(repeated=F("repeated") + 1)


def add_event(install: Install, kind: Event.Kind, name: str, **fields: Any) -> Event:
    """Note something in the history of an install. `text` is cut to what fits."""
    fields["text"] = str(fields.get("text", ""))[:1000]
    return install.events.create(kind=kind, name=name, fence=install.fence, **fields)
