"""dodai's way: the ramdisk partitions the disk, copies a file tree onto it and makes it boot."""

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from installs import scripts, witness
from installs.methods.base import Again, Next, Outcome, WaitFor, Work
from installs.methods.ramdisk import RamdiskMethod, restart, set_disk_boot

COPY_SILENCE = timedelta(minutes=3)
COPY_OVERHEAD = timedelta(minutes=10)
SLOWEST_BYTES_PER_SECOND = 2_000_000  # slower than any disk or link worth installing over
FIRST_BOOT_MAY_TAKE = timedelta(minutes=15)
LOOK_AGAIN = timedelta(seconds=5)


class FileTree(RamdiskMethod):
    slug = "file-tree"
    label = _("Copy a file tree")
    steps = ("power_off", "set_boot", "power_on", "netboot", "copy", "boot_from_disk", "reset", "first_boot")
    waits = {"netboot": "install", "copy": "install_reboot", "first_boot": "installed"}
    last_looks = {"first_boot": "second_witness"}
    phases = ("fetch", "verify", "partition", "copy", "configure", "bootloader")
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

    def copy(self, work: Work) -> Outcome:
        image = work.install.plan["image"]
        moved_bytes = image["size_bytes"] + image["unpacked_bytes"]
        return WaitFor(COPY_SILENCE, cap=COPY_OVERHEAD + timedelta(seconds=moved_bytes / SLOWEST_BYTES_PER_SECOND))

    def boot_from_disk(self, work: Work) -> Outcome:
        set_disk_boot(work)
        return Next()

    def reset(self, work: Work) -> Outcome:
        restart(work)
        return Next()

    def first_boot(self, work: Work) -> Outcome:
        return WaitFor(FIRST_BOOT_MAY_TAKE, cap=FIRST_BOOT_MAY_TAKE)

    def second_witness(self, work: Work) -> Outcome:
        address = witness.look(work.install)
        if not address:
            return Again(LOOK_AGAIN)
        seen = f"The OS of {work.machine.name} answers at {address} with the sign of this install"
        return Next(note=f"{seen}; its own call never came.")

    def boots_ramdisk(self, received: set[str]) -> bool:
        return not received & {"install", "install_reboot", "installed"}

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render(
            "file_tree/install.sh", server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER,
            image=plan["image"], disk=plan["disk"], attempt=plan["attempt"],
        )  # fmt: skip
