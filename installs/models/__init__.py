"""Images, and what happened when they were put on machines."""

from installs.models.caps import InstallCap
from installs.models.images import KEY_TYPES, ROOT, SHA256, Image, ImageImport, SshKey
from installs.models.install import Boot, Install, InstallQuerySet, Script
from installs.models.notices import Notice, NoticeQuerySet, NoticeTarget, NoticeTry
from installs.models.record import BOOT_FLAG_LOST, LOG_LIMIT_BYTES, Event, LogChunk, add_alert, add_event, count_repeat
from installs.models.waves import CANARIES, MOST_MACHINES, Wave, WaveEvent, WaveMachine, WaveMachineQuerySet

__all__ = [
    "BOOT_FLAG_LOST",
    "CANARIES",
    "KEY_TYPES",
    "LOG_LIMIT_BYTES",
    "MOST_MACHINES",
    "ROOT",
    "SHA256",
    "Boot",
    "Event",
    "Image",
    "ImageImport",
    "Install",
    "InstallCap",
    "InstallQuerySet",
    "LogChunk",
    "Notice",
    "NoticeQuerySet",
    "NoticeTarget",
    "NoticeTry",
    "Script",
    "SshKey",
    "Wave",
    "WaveEvent",
    "WaveMachine",
    "WaveMachineQuerySet",
    "add_alert",
    "add_event",
    "count_repeat",
]
