"""Images, and what happened when they were put on machines."""

import re
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

from installs.lifecycle import ENDED, GOING_ON, LIVE, State
from machines.models import KERNEL_ARGS

SHA256 = RegexValidator(r"^[0-9a-f]{64}$", "A SHA-256 digest has 64 hexadecimal digits.")
KEY_TYPES = "ssh-ed25519 ssh-rsa ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 sk-ssh-ed25519@openssh.com".split()
LOG_LIMIT_BYTES = 10 << 20


class Image(models.Model):
    """An operating system to install. Its file is immutable and named by its digest."""

    class Kind(models.TextChoices):
        EXT4 = "ext4", "ext4 file system"
        TAR_ZST = "tar.zst", "tar archive, zstd"

    name = models.CharField(max_length=63, unique=True)
    method = models.SlugField(default="file-tree")
    kind = models.CharField(max_length=10, choices=Kind)
    sha256 = models.CharField("SHA-256", max_length=64, validators=[SHA256])
    size_bytes = models.PositiveBigIntegerField(help_text="Of the file")
    unpacked_bytes = models.PositiveBigIntegerField(help_text="Of the tree on the disk")
    min_memory_mib = models.PositiveIntegerField(default=0)
    kernel_args = models.CharField(max_length=255, blank=True, validators=[KERNEL_ARGS])
    root_mib = models.PositiveIntegerField("root (MiB)", default=0, help_text="0: what the others leave")
    swap_mib = models.PositiveIntegerField("swap (MiB)", default=0)
    ephemeral_mib = models.PositiveIntegerField("ephemeral (MiB)", default=0)
    kdump_mib = models.PositiveIntegerField("kdump (MiB)", default=0)
    retired_at = models.DateTimeField(null=True, blank=True, help_text="No new installs since")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class SshKey(models.Model):
    """A public key that every installed machine accepts for root."""

    name = models.CharField(max_length=63, unique=True)
    public_key = models.TextField()

    class Meta:
        verbose_name = "SSH key"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        parts = self.public_key.split()
        if len(parts) < 2 or parts[0] not in KEY_TYPES or not re.fullmatch(r"[A-Za-z0-9+/=]{40,}", parts[1]):
            raise ValidationError(
                {"public_key": f"Paste one line of a .pub file; it begins with {KEY_TYPES[0]} or the like."}
            )
        if "\n" in self.public_key.strip():
            raise ValidationError({"public_key": "One key a row, please: this has several lines."})
        self.public_key = self.public_key.strip()


class InstallQuerySet(models.QuerySet["Install"]):
    def live(self) -> "InstallQuerySet":
        return self.filter(state__in=LIVE)

    def ended(self) -> "InstallQuerySet":
        return self.filter(state__in=ENDED)

    def real_installs(self) -> "InstallQuerySet":
        """Without inspections, which run on the same engine."""
        return self.exclude(method="inspect")

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
    script = models.TextField(blank=True, help_text="What the machine runs, with a placeholder for its token")

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
    queued_at = models.DateTimeField(default=now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True, help_text="When the OS itself called")
    os_seen_late = models.BooleanField(default=False)

    objects = InstallQuerySet.as_manager()

    class Meta:
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

    def __str__(self) -> str:
        return f"boot {self.pk} of install {self.install_id}"


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
