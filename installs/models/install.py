"""Attempts to put an image on a machine."""

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from installs.lifecycle import ENDED, GOING_ON, LIVE, State
from installs.models.images import Image


class InstallQuerySet(models.QuerySet["Install"]):
    def live(self) -> "InstallQuerySet":
        return self.filter(state__in=LIVE)

    def ended(self) -> "InstallQuerySet":
        return self.filter(state__in=ENDED)

    def real_installs(self) -> "InstallQuerySet":
        """Without inspections and other operations, which run on the same engine."""
        return self.filter(image__isnull=False)

    def due(self) -> "InstallQuerySet":
        """A worker should look at these now: nobody holds them and their time has come."""
        moment = now()
        free = Q(lease_until=None) | Q(lease_until__lt=moment)
        come = Q(look_again_at=None) | Q(look_again_at__lte=moment)
        active = Q(state__in=[State.RUNNING, State.STOPPING]) & come
        asked_again = Q(state=State.WAITING, look_again_at__lte=moment)
        return self.filter(free & (active | asked_again)).order_by(F("look_again_at").asc(nulls_first=True), "pk")

    def overdue(self) -> "InstallQuerySet":
        """Silent for too long, or past the cap of what they do."""
        moment = now()
        late = Q(quiet_until__lt=moment) | Q(give_up_at__lt=moment)
        return self.filter(late, state__in=GOING_ON)


class Install(models.Model):
    """One attempt to put an image on a machine (or, by the method `inspect`, to look at it)."""

    machine = models.ForeignKey("machines.Machine", models.PROTECT, related_name="installs")
    image = models.ForeignKey(Image, models.PROTECT, null=True, related_name="installs")
    method = models.SlugField()
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    step = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0, help_text="How often this step was put off by an error")

    # What the operator approved, frozen: disks, digest of the image, layout, URLs, kernel arguments, ramdisk.
    plan = models.JSONField(default=dict)
    plan_digest = models.CharField(max_length=64)
    answers_sealed = models.TextField(blank=True, editable=False)  # what an installer reads, frozen, encrypted

    # Who works on it. Every claim has another owner and a higher fence; a worker that lost it may store nothing.
    owner = models.CharField(max_length=32, blank=True)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    # What it waits for, and for how long.
    awaited = models.SlugField(blank=True)
    silence = models.DurationField(null=True, help_text="How long the machine may say nothing")
    quiet_until = models.DateTimeField(null=True)
    give_up_at = models.DateTimeField(null=True)
    look_again_at = models.DateTimeField(null=True)
    waits_since = models.DateTimeField(null=True)
    operator_task = models.CharField(max_length=255, blank=True, help_text="What a person has to do now")

    # Progress of the phase that moves bytes.
    phase = models.CharField(max_length=31, blank=True)
    done_bytes = models.PositiveBigIntegerField(default=0)
    total_bytes = models.PositiveBigIntegerField(default=0)
    bytes_per_second = models.PositiveBigIntegerField(default=0)
    progress_at = models.DateTimeField(null=True)

    # The write grant: at most once, for one kernel boot.
    granted_at = models.DateTimeField(null=True)
    granted_boot_id = models.CharField(max_length=36, blank=True)
    first_boot_hash = models.CharField(max_length=64, blank=True, db_index=True)

    # How it ends.
    wanted_end = models.CharField(
        max_length=10, blank=True, choices=[(State.FAILED, "Failed"), (State.CANCELLED, "Cancelled")]
    )
    power_off_to_stop = models.BooleanField(default=False)
    cause = models.SlugField(blank=True, help_text="Of the failure, in one word, for grouping")
    error = models.TextField(blank=True)
    error_detail = models.TextField(blank=True, help_text="The last lines the machine said")
    failed_step = models.SlugField(blank=True)
    left_behind = models.CharField(max_length=255, blank=True)

    requested_by = models.CharField(max_length=150)
    retry_of = models.ForeignKey("self", models.SET_NULL, null=True, related_name="retries")
    fallback = models.PositiveSmallIntegerField(
        default=0, help_text="By which method of the image's chain: 0 its own, 1 the next after `retry_of` failed"
    )
    is_for_pool = models.BooleanField(default=False, help_text="Its machine waits for an owner afterwards")
    queued_at = models.DateTimeField(default=now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True, help_text="When the OS itself called, or an operator said so")
    confirmed_by = models.CharField(max_length=150, blank=True, help_text="The operator, where no OS is to call")
    os_seen_late = models.BooleanField(default=False)

    objects = InstallQuerySet.as_manager()

    class Meta:
        verbose_name = _("install")
        verbose_name_plural = _("installs")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine"], condition=Q(state__in=sorted(LIVE)), name="one_live_install_per_machine"
            ),
            models.CheckConstraint(
                condition=(Q(granted_at=None) & Q(granted_boot_id=""))
                | (Q(granted_at__isnull=False) & ~Q(granted_boot_id="")),
                name="a_grant_names_the_boot_it_is_for",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "machine"], name="installs_by_state"),
            models.Index(fields=["look_again_at"], condition=Q(state__in=sorted(LIVE)), name="live_installs_by_time"),
        ]

    def __str__(self) -> str:
        return f"install {self.pk}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def is_inspection(self) -> bool:
        return self.method == "inspect"

    @property
    def deadline(self) -> datetime | None:
        """When it is given up if nothing more happens."""
        return min(filter(None, (self.quiet_until, self.give_up_at)), default=None)


class Script(models.Model):
    """What the machine of an install runs, frozen with its plan.

    Apart from the install: SQLite writes a whole row for each progress in it.
    """

    install = models.OneToOneField(Install, models.CASCADE, primary_key=True)
    text = models.TextField(help_text="With a placeholder for the installer token")

    class Meta:
        verbose_name = _("script")
        verbose_name_plural = _("scripts")

    def __str__(self) -> str:
        return f"script of install {self.install_id}"


class Boot(models.Model):
    """One answer "boot the ramdisk" of a live install, and what came of it.

    The boot token in it leads to the script and nothing else; the installer token in the script speaks for
    the kernel that fetched it first, known by its boot_id.
    """

    install = models.ForeignKey(Install, models.CASCADE, related_name="boots")
    token_hash = models.CharField(max_length=64, unique=True)
    asked_at = models.DateTimeField(default=now)
    address = models.GenericIPAddressField(null=True)
    mac = models.CharField(max_length=17)
    boot_id = models.CharField(max_length=36, blank=True)
    script_at = models.DateTimeField(null=True)
    installer_hash = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - several may be empty

    class Meta:
        verbose_name = _("network boot")
        verbose_name_plural = _("network boots")

    def __str__(self) -> str:
        return f"boot {self.pk} of install {self.install_id}"
