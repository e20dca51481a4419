"""Images, and what happened when they were put on machines."""

from installs.models.images import KEY_TYPES, SHA256, Image, ImageImport, SshKey
from installs.models.install import Boot, Install, InstallQuerySet
from installs.models.notices import Notice, NoticeQuerySet, NoticeTarget, NoticeTry
from installs.models.record import BOOT_FLAG_LOST, LOG_LIMIT_BYTES, Event, LogChunk, add_alert, add_event, count_repeat

__all__ = [
    "BOOT_FLAG_LOST",
    "KEY_TYPES",
    "LOG_LIMIT_BYTES",
    "SHA256",
    "Boot",
    "Event",
    "Image",
    "ImageImport",
    "Install",
    "InstallQuerySet",
    "LogChunk",
    "Notice",
    "NoticeQuerySet",
    "NoticeTarget",
    "NoticeTry",
    "SshKey",
    "add_alert",
    "add_event",
    "count_repeat",
]
