"""Dodai itself writes the disk, which the machine exports by iSCSI for as long as that takes."""

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from installs import scripts
from installs.methods.base import Outcome, WaitFor, Work
from installs.methods.disk_image import DiskImage, script_values
from installs.models import Image
from machines.models import Disk, Machine

SILENCE = timedelta(minutes=3)
TURN_MAY_TAKE = timedelta(hours=4)  # while others are written; once its own turn has come it gets a time of its own


class Iscsi(DiskImage):
    slug = "iscsi"
    label = gettext_noop("Write the disk from the server (iSCSI)")
    phases = ("clear", "turn", "write", "verify", "grow", "bootloader", "configure")
    exports_disk: ClassVar[bool] = True
    """Its ramdisk asks for copies (installs/iscsi) between the phases turn and write."""
    milestones = (
        ("power_off", gettext_noop("Power off")),
        ("power_on", gettext_noop("Power on")),
        ("netboot", gettext_noop("Network boot")),
        ("install", gettext_noop("Installer running")),
        ("clear", gettext_noop("Clearing the disk")),
        ("turn", gettext_noop("Waiting for its turn")),
        ("write", gettext_noop("Writing from the server")),
        ("verify", gettext_noop("Reading it back")),
        ("grow", gettext_noop("Growing the root")),
        ("bootloader", gettext_noop("Boot loader")),
        ("configure", gettext_noop("Configuring")),
        ("install_reboot", gettext_noop("Restart from disk")),
        ("first_boot", gettext_noop("First boot of the OS")),
    )

    def warnings(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        if machine.is_practice:
            return []
        said = _(
            "Dodai connects to port 3260 of %(name)s: no firewall may stand between. %(count)s are written at once."
        )
        return [said % {"name": machine.name, "count": settings.ISCSI_COPIES}]

    def write(self, work: Work) -> Outcome:
        return WaitFor(SILENCE, cap=TURN_MAY_TAKE)

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render("iscsi/install.sh", **script_values(plan))
