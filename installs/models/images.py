"""Operating systems to install, and who may log in to them."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from dodaiweb import keys
from machines.models import KERNEL_ARGS

URL_PURPOSE = "image url"
SHA256 = RegexValidator(r"^[0-9a-f]{64}$", _("A SHA-256 digest has 64 hexadecimal digits."))

ROOT = "root"
ACCOUNT = RegexValidator(
    r"^[a-z_][a-z0-9_-]{0,30}\Z", _("Up to 31 lower-case letters, digits, _ and -; a letter comes first.")
)
MOST_COMMANDS = 60_000  # characters
KEY_TYPES = "ssh-ed25519 ssh-rsa ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 sk-ssh-ed25519@openssh.com".split()


class ImageQuerySet(models.QuerySet["Image"]):
    def present(self) -> "ImageQuerySet":
        """Those that have not been deleted."""
        return self.filter(deleted_at=None)


class Image(models.Model):
    """An operating system to install. Its file is immutable and named by its digest; some methods need none."""

    class Kind(models.TextChoices):
        EXT4 = "ext4", _("ext4 file system")
        TAR_ZST = "tar.zst", _("tar archive, zstd")
        RAW = "raw", _("disk, raw")
        RAW_ZST = "raw.zst", _("disk, zstd")
        RAW_GZ = "raw.gz", _("disk, gzip")
        SQUASHFS = "squashfs", _("squashfs file system")
        ISO = "iso", _("ISO of an installer")

    name = models.CharField(_("name"), max_length=63, unique=True)
    method = models.SlugField(_("method"), default="file-tree")
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, blank=True)
    sha256 = models.CharField(_("SHA-256"), max_length=64, validators=[SHA256], blank=True)
    size_bytes = models.PositiveBigIntegerField(_("size in bytes"), default=0, help_text=_("Of the file"))
    unpacked_bytes = models.PositiveBigIntegerField(
        _("unpacked, in bytes"), default=0, help_text=_("Of the tree on the disk")
    )
    min_memory_mib = models.PositiveIntegerField(_("needs memory (MiB)"), default=0)
    kernel_args = models.CharField(_("kernel arguments"), max_length=255, blank=True, validators=[KERNEL_ARGS])
    first_boot_commands = models.TextField(
        _("commands for first boot"), blank=True, max_length=MOST_COMMANDS,
        help_text=_("A shell script that root runs once in the new system, before it calls. No secrets: machines get "
                    "it as it is."),
    )  # fmt: skip
    root_mib = models.PositiveIntegerField(_("root (MiB)"), default=0, help_text=_("0: what the others leave"))
    swap_mib = models.PositiveIntegerField(_("swap (MiB)"), default=0)
    ephemeral_mib = models.PositiveIntegerField(_("ephemeral (MiB)"), default=0)
    kdump_mib = models.PositiveIntegerField(_("kdump (MiB)"), default=0)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True, help_text=_("No new installs since"))
    deleted_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Kept for the history of machines that had it; the file is gone",
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    # What its method asks for (InstallMethod.metadata_form), the secret part of it sealed (keys.encrypt), and further
    # files of the store that belong to it, by their names for the method: {name: {"sha256": ..., "size_bytes": ...}}.
    metadata = models.JSONField(_("settings of the method"), default=dict, blank=True)
    secrets_sealed = models.TextField(blank=True, editable=False)
    files = models.JSONField(default=dict, blank=True, editable=False)

    # What is tried next where an attempt fails: [{"method": slug, "metadata": {...}}], two at most; see fallbacks.py.
    fallbacks = models.JSONField(default=list, blank=True, editable=False)

    # Where it came from, and what a look into it found (installs/images/contract); `recipe` is of what was built here.
    imported_by = models.CharField(max_length=150, blank=True, editable=False)
    source = models.CharField(max_length=255, blank=True, editable=False)
    recipe = models.CharField(max_length=63, blank=True, editable=False)
    report = models.JSONField(default=dict, blank=True, editable=False)

    objects = ImageQuerySet.as_manager()

    class Meta:
        verbose_name = _("image")
        verbose_name_plural = _("images")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ImageImport(models.Model):
    """Taking in one image. The row is the truth: any process that takes in images may go on with it."""

    class Source(models.TextChoices):
        UPLOAD = "upload", _("Upload")
        URL = "url", _("URL")
        PATH = "path", _("File on the server")
        DEBIAN = "debian", _("Debian 12, built here")

    class State(models.TextChoices):
        RECEIVING = "receiving", _("Receiving")
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    LIVE = (State.RECEIVING, State.WAITING, State.RUNNING)

    name = models.CharField(max_length=63, help_text="Of the image that it becomes")
    source = models.CharField(max_length=10, choices=Source)
    location = models.TextField(blank=True, help_text="URL, path, or the name of the uploaded file")  # URLs are sealed
    sha256 = models.CharField("SHA-256", max_length=64, blank=True, validators=[SHA256])
    fields = models.JSONField(default=dict, blank=True, help_text="Columns of the image, like root_mib")
    requested_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    phase = models.CharField(max_length=15, blank=True)
    done = models.PositiveBigIntegerField(default=0, help_text="Bytes; packages while Debian is installed")
    total = models.PositiveBigIntegerField(default=0, help_text="0: nobody knows")
    progress_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    image = models.ForeignKey(Image, models.SET_NULL, null=True, related_name="imports")
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    owner = models.CharField(max_length=32, blank=True, help_text="Another random value at each claim")
    lease_until = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    again_at = models.DateTimeField(null=True, help_text="Not before, after a try that failed")

    class Meta:
        verbose_name = _("image import")
        verbose_name_plural = _("image imports")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(state__in=["receiving", "waiting", "running"]),
                name="one_live_import_per_name",
            ),
        ]

    def __str__(self) -> str:
        return f"import {self.pk} of {self.name}"

    @property
    def place(self) -> str:
        """`location` in clear."""
        is_sealed = self.source == self.Source.URL and "://" not in self.location
        return keys.decrypt(self.location, purpose=URL_PURPOSE) if is_sealed else self.location

    @staticmethod
    def sealed(url: str) -> str:
        """How a URL is stored: some hold a password or a key."""
        return keys.encrypt(url, purpose=URL_PURPOSE)

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE


class SshKey(models.Model):
    """A public key that every installed machine accepts for one of its accounts."""

    name = models.CharField(_("name"), max_length=63, unique=True)
    account = models.CharField(
        _("account"), max_length=31, default=ROOT, validators=[ACCOUNT],
        help_text=_("Whom it lets in. Other accounts than root are made, and may use sudo without a password."),
    )  # fmt: skip
    public_key = models.TextField(_("public key"))
    clusters = models.ManyToManyField(
        "machines.Cluster", blank=True, related_name="keys", verbose_name=_("clusters"),
        help_text=_("Only machines of these take it. None: all machines do."),
    )  # fmt: skip

    class Meta:
        verbose_name = _("SSH key")
        verbose_name_plural = _("SSH keys")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        parts = self.public_key.split()
        is_key = len(parts) >= 2 and parts[0] in KEY_TYPES and re.fullmatch(r"[A-Za-z0-9+/=]{40,}", parts[1])
        # YAML has no way to write control characters: one of them, and cloud-init takes nothing of its seed.
        if not is_key or not "".join(parts).isprintable():
            raise ValidationError(
                {
                    "public_key": gettext("Paste one line of a .pub file; it begins with %(kind)s or the like.")
                    % {"kind": KEY_TYPES[0]}
                }
            )
        if len(self.public_key.strip().splitlines()) > 1:
            raise ValidationError({"public_key": _("One key a row, please: this has several lines.")})
        self.public_key = " ".join(parts)
