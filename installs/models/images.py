"""Operating systems to install, and who may log in to them."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from machines.models import KERNEL_ARGS

SHA256 = RegexValidator(r"^[0-9a-f]{64}$", "A SHA-256 digest has 64 hexadecimal digits.")

KEY_TYPES = "ssh-ed25519 ssh-rsa ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 sk-ssh-ed25519@openssh.com".split()


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
