"""Rollouts of one image to many machines, a part at a time, with what happened to each machine."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from installs.lifecycle import ENDED, LIVE
from installs.lifecycle import State as InstallState
from installs.models.images import Image
from installs.models.install import Install
from installs.waves.lifecycle import State

MOST_MACHINES = 200  # of one wave: people look at the plan of each
CANARIES = 0  # the number of the first part


class Wave(models.Model):
    """One image for many machines. What it may do stands in its row; the watchdog only follows it."""

    image = models.ForeignKey(Image, models.PROTECT, related_name="waves")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    canary_count = models.PositiveSmallIntegerField(
        _("canaries"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST_MACHINES)]
    )
    part_size = models.PositiveSmallIntegerField(
        _("machines in a part"), default=10, validators=[MinValueValidator(1), MaxValueValidator(MOST_MACHINES)]
    )
    stop_at = models.PositiveSmallIntegerField(
        _("stops at failures"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MOST_MACHINES)]
    )
    # In the time zone of this Dodai; the end may be the earlier one: then it is the next morning's.
    window_from = models.TimeField(_("begins installs from"), null=True, blank=True)
    window_to = models.TimeField(_("until"), null=True, blank=True)

    requested_by = models.CharField(max_length=150)
    approved_by = models.CharField(max_length=150, blank=True)
    plan_digest = models.CharField(max_length=64, blank=True, help_text="Of the exact list that was approved")
    why_ended = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now)
    approved_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("wave")
        verbose_name_plural = _("waves")
        permissions = [
            ("approve_wave", gettext_noop("Can approve waves, which install more machines than the caps allow")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(window_from=None, window_to=None)
                | (Q(window_from__isnull=False, window_to__isnull=False) & ~Q(window_from=F("window_to"))),
                name="a_window_has_two_ends",
            ),
            models.CheckConstraint(
                condition=Q(state__in=[State.PROPOSED, State.CANCELLED]) | Q(approved_at__isnull=False),
                name="a_wave_runs_with_an_approval",
            ),
        ]

    def __str__(self) -> str:
        return f"wave {self.pk}"


class WaveMachineQuerySet(models.QuerySet["WaveMachine"]):
    def waiting(self) -> "WaveMachineQuerySet":
        """Those whose turn is yet to come."""
        return self.filter(install=None, skipped_at=None)

    def live(self) -> "WaveMachineQuerySet":
        return self.filter(install__state__in=LIVE)

    def ended_badly(self) -> "WaveMachineQuerySet":
        """Failed or cancelled: either says that somebody should look before more machines are wiped."""
        return self.filter(install__state__in=ENDED - {InstallState.INSTALLED})


class WaveMachine(models.Model):
    """A machine of a wave, with the plan that was approved for it."""

    wave = models.ForeignKey(Wave, models.CASCADE, related_name="machines")
    machine = models.ForeignKey("machines.Machine", models.PROTECT, related_name="waves")
    position = models.PositiveSmallIntegerField()
    part = models.PositiveSmallIntegerField(help_text="0: the canaries")
    plan_digest = models.CharField(max_length=64, blank=True)
    install = models.OneToOneField(Install, models.PROTECT, null=True, related_name="wave_machine")
    skipped_at = models.DateTimeField(null=True)
    skipped_why = models.TextField(blank=True)

    objects = WaveMachineQuerySet.as_manager()

    class Meta:
        ordering = ["part", "position"]
        verbose_name = _("machine of a wave")
        verbose_name_plural = _("machines of waves")
        constraints = [
            models.UniqueConstraint(fields=["wave", "machine"], name="a_machine_is_once_in_a_wave"),
            models.CheckConstraint(
                condition=Q(install=None) | Q(skipped_at=None), name="what_was_skipped_was_not_installed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.machine} of {self.wave}"

    @property
    def is_canary(self) -> bool:
        return self.part == CANARIES


class WaveEvent(models.Model):
    """Something that happened to a wave, and who did it. Only ever added to."""

    wave = models.ForeignKey(Wave, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=now)
    name = models.SlugField()
    by = models.CharField(max_length=150, blank=True)
    text = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["pk"]
        verbose_name = _("event of a wave")
        verbose_name_plural = _("events of waves")

    def __str__(self) -> str:
        return f"{self.name} of wave {self.wave_id}"
