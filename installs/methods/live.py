"""Runs a system from memory: the ramdisk fetches its squashfs and hands over to it. No disk is written, ever.

The kernel and its modules are the ramdisk's own. While the machine runs the image, every boot comes from the network.
"""

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from installs import scripts
from installs.methods.base import Next, Outcome, WaitFor, Work
from installs.methods.ramdisk import OsMethod, set_network_boot
from installs.models import Image
from machines.models import Disk, Machine

FIRST_BOOT_SILENCE = timedelta(minutes=5)
FIRST_BOOT_OVERHEAD = timedelta(minutes=15)
SLOWEST_BYTES_PER_SECOND = 2_000_000
SPARE_MEMORY_BYTES = 384 << 20  # the ramdisk, and what the system itself needs to start
MIB = 1 << 20


class Live(OsMethod):
    slug = "live"
    label = gettext_noop("Run from memory")
    steps = (
        "power_off", "set_ports", "set_boot", "power_on", "netboot", "first_boot", "join_vlan",
    )  # fmt: skip
    waits = {"netboot": "install", "first_boot": "installed"}
    phases = ("fetch", "verify", "configure")
    milestones = (
        ("power_off", gettext_noop("Power off")),
        ("power_on", gettext_noop("Power on")),
        ("netboot", gettext_noop("Network boot")),
        ("install", gettext_noop("Ramdisk running")),
        ("fetch", gettext_noop("Fetching the image")),
        ("verify", gettext_noop("Checking the image")),
        ("configure", gettext_noop("Configuring")),
        ("first_boot", gettext_noop("First boot of the OS")),
    )
    kinds = ("squashfs",)
    writes_disks = False
    stays_on_network = True

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        memory, needed = machine.facts.get("memory_bytes"), image.size_bytes + SPARE_MEMORY_BYTES
        if not isinstance(memory, int) or memory >= needed:
            return []
        words = _("%(image)s runs from memory and needs %(needed)s MiB of it, %(name)s has %(found)s.")
        return [words % {"image": image.name, "needed": needed // MIB, "name": machine.name, "found": memory // MIB}]

    def set_boot(self, work: Work) -> Outcome:
        set_network_boot(work, persistent=True)
        return Next()

    def first_boot(self, work: Work) -> Outcome:
        moved = timedelta(seconds=2 * work.install.plan["image"]["size_bytes"] / SLOWEST_BYTES_PER_SECOND)
        return WaitFor(FIRST_BOOT_SILENCE, cap=FIRST_BOOT_OVERHEAD + moved)

    def boots_network(self, received: set[str]) -> bool:
        return True

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render(
            "live/boot.sh", server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER, image=plan["image"]
        )
