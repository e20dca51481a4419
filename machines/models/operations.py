"""What is asked of machines, and signs of life of the processes that do it."""

from django.db import models
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from machines.models.machine import Machine


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
        verbose_name = _("power command")
        verbose_name_plural = _("power commands")
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

    class Meta:
        verbose_name = _("sign of life")
        verbose_name_plural = _("signs of life")

    def __str__(self) -> str:
        return self.name


class Checkup(models.Model):
    """A look at everything around Dodai that an operator asked for. The row is the truth; the job is a doorbell."""

    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=now)
    lease_until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    findings = models.JSONField(default=list)

    class Meta:
        verbose_name = _("check-up")
        verbose_name_plural = _("check-ups")
        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(models.Value(1), condition=Q(ended_at=None), name="one_live_checkup"),
        ]

    def __str__(self) -> str:
        return f"checkup of {self.asked_at:%Y-%m-%d %H:%M}"


class KeyProof(models.Model):
    """A known text sealed with the key of this database: a wrong key is noticed before it writes anything."""

    sealed = models.TextField()

    class Meta:
        verbose_name = _("proof of the key")
        verbose_name_plural = _("proofs of the key")

    def __str__(self) -> str:
        return "proof of the key"
