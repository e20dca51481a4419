"""Images, and what happened when they were put on machines."""

from installs.models.allocations import Allocation, AllocationMachine, PoolLevel
from installs.models.caps import InstallCap
from installs.models.erasures import Erasure
from installs.models.images import KEY_TYPES, ROOT, SHA256, Image, ImageImport, SshKey
from installs.models.install import Boot, Install, InstallQuerySet, Script
from installs.models.notices import Notice, NoticeQuerySet, NoticeTarget, NoticeTry
from installs.models.pool import MACHINE_KEY_PURPOSE, MachineKey
from installs.models.record import BOOT_FLAG_LOST, LOG_LIMIT_BYTES, Event, LogChunk, add_alert, add_event, count_repeat
from installs.models.waves import CANARIES, MOST_MACHINES, Wave, WaveEvent, WaveMachine, WaveMachineQuerySet

__all__ = [
    "BOOT_FLAG_LOST",
    "CANARIES",
    "KEY_TYPES",
    "LOG_LIMIT_BYTES",
    "MACHINE_KEY_PURPOSE",
    "MOST_MACHINES",
    "ROOT",
    "SHA256",
    "Allocation",
    "AllocationMachine",
    "Boot",
    "Erasure",
    "Event",
    "Image",
    "ImageImport",
    "Install",
    "InstallCap",
    "InstallQuerySet",
    "LogChunk",
    "MachineKey",
    "Notice",
    "NoticeQuerySet",
    "NoticeTarget",
    "NoticeTry",
    "PoolLevel",
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
