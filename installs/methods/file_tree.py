"""dodai's way: the ramdisk partitions the disk, copies a file tree onto it and makes it boot."""

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from installs import layout, scripts
from installs.methods.base import Outcome, WaitFor, Work
from installs.methods.ramdisk import DiskMethod
from installs.models import Image
from machines.models import Disk, Machine

COPY_SILENCE = timedelta(minutes=3)
COPY_OVERHEAD = timedelta(minutes=10)
SLOWEST_BYTES_PER_SECOND = 2_000_000  # slower than any disk or link worth installing over


class FileTree(DiskMethod):
    slug = "file-tree"
    label = _("Copy a file tree")
    steps = (
        "power_off", "set_ports", "set_boot", "power_on", "netboot", "copy", "boot_from_disk", "reset", "first_boot",
        "join_vlan",
    )  # fmt: skip
    waits = {"netboot": "install", "copy": "install_reboot", "first_boot": "installed"}
    phases = ("fetch", "verify", "partition", "copy", "configure", "bootloader")
    kinds = ("ext4", "tar.zst")
    makes_partitions = True
    milestones = (
        ("power_off", _("Power off")),
        ("power_on", _("Power on")),
        ("netboot", _("Network boot")),
        ("install", _("Installer running")),
        ("fetch", _("Fetching the image")),
        ("verify", _("Checking the image")),
        ("partition", _("Partitioning the disk")),
        ("copy", _("Copying files")),
        ("configure", _("Configuring")),
        ("bootloader", _("Boot loader")),
        ("install_reboot", _("Restart from disk")),
        ("first_boot", _("First boot of the OS")),
    )

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        return layout.problems(image, disk)

    def copy(self, work: Work) -> Outcome:
        image = work.install.plan["image"]
        moved_bytes = image["size_bytes"] + image["unpacked_bytes"]
        return WaitFor(COPY_SILENCE, cap=COPY_OVERHEAD + timedelta(seconds=moved_bytes / SLOWEST_BYTES_PER_SECOND))

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render(
            "file_tree/install.sh", server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER,
            image=plan["image"], disk=plan["disk"], attempt=plan["attempt"],
        )  # fmt: skip
