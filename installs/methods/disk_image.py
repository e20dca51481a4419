"""Streams the image of a whole disk onto the disk: whatever boots there boots here."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from installs import scripts
from installs.methods.base import Outcome, WaitFor, Work
from installs.methods.ramdisk import DiskMethod
from installs.models import Image
from machines.models import Disk, Machine

WRITE_SILENCE = timedelta(minutes=3)
WRITE_OVERHEAD = timedelta(minutes=10)
SLOWEST_BYTES_PER_SECOND = 2_000_000  # slower than any disk or link worth installing over
MIB = 1 << 20
MOST_PARTITIONS = 128


class DiskImageForm(forms.Form):
    """How the system on the image is made the machine's own."""

    set_up_by = forms.ChoiceField(
        label=gettext_lazy("set up by"), required=False,
        choices=[("", gettext_lazy("cloud-init where the image has it, else files")),
                 ("cloud-init", "cloud-init (NoCloud)"), ("files", gettext_lazy("files in the root file system"))],
    )  # fmt: skip
    root_partition = forms.IntegerField(
        label=gettext_lazy("root partition"), min_value=0, max_value=MOST_PARTITIONS, required=False,
        help_text=gettext_lazy("Its number; empty: found by what is in it"),
    )  # fmt: skip
    keep_size = forms.BooleanField(
        label=gettext_lazy("keep the size of the root"), required=False,
        help_text=gettext_lazy("Otherwise it grows to the end of the disk"),
    )  # fmt: skip


class DiskImage(DiskMethod):
    slug = "disk-image"
    label = gettext_noop("Write a disk image")
    steps = (
        "power_off", "set_ports", "set_boot", "power_on", "netboot", "write", "boot_from_disk", "reset", "first_boot",
        "join_vlan",
    )  # fmt: skip
    waits = {"netboot": "install", "write": "install_reboot", "first_boot": "installed"}
    phases: ClassVar[tuple[str, ...]] = ("clear", "write", "verify", "grow", "configure")
    kinds = ("raw.zst", "raw.gz", "raw")
    metadata_form = DiskImageForm
    milestones: ClassVar[tuple[tuple[str, str], ...]] = (
        ("power_off", gettext_noop("Power off")),
        ("power_on", gettext_noop("Power on")),
        ("netboot", gettext_noop("Network boot")),
        ("install", gettext_noop("Installer running")),
        ("clear", gettext_noop("Clearing the disk")),
        ("write", gettext_noop("Writing the disk")),
        ("verify", gettext_noop("Reading it back")),
        ("grow", gettext_noop("Growing the root")),
        ("configure", gettext_noop("Configuring")),
        ("install_reboot", gettext_noop("Restart from disk")),
        ("first_boot", gettext_noop("First boot of the OS")),
    )

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        if disk is None or disk.size_bytes is None or disk.size_bytes >= image.unpacked_bytes:
            return []
        said = _("%(image)s is the image of a disk of %(needed)s MiB, the disk %(disk)s has %(found)s.")
        return [
            said
            % {
                "image": image.name,
                "needed": -(-image.unpacked_bytes // MIB),
                "disk": disk,
                "found": disk.size_bytes // MIB,
            }
        ]

    def write(self, work: Work) -> Outcome:
        image = work.install.plan["image"]
        moved_bytes = image["size_bytes"] + image["unpacked_bytes"]
        return WaitFor(WRITE_SILENCE, cap=WRITE_OVERHEAD + timedelta(seconds=moved_bytes / SLOWEST_BYTES_PER_SECOND))

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render("disk_image/install.sh", **script_values(plan))


def script_values(plan: dict[str, Any]) -> dict[str, Any]:
    """What the scripts of images of whole disks are rendered with."""
    asked, samples = plan["image"].get("metadata", {}), plan["image"].get("samples", {})
    return {
        "server": plan["provision_url"], "token": scripts.TOKEN_PLACEHOLDER, "image": plan["image"],
        "disk": plan["disk"], "attempt": plan["attempt"],
        "samples": "\n".join(f"{at} {digest}" for at, digest in samples.get("digests", [])),
        "sample_bytes": samples.get("bytes", 65536), "root_partition": asked.get("root_partition") or 0,
        "grow": not asked.get("keep_size"), "set_up_by": asked.get("set_up_by") or "auto",
    }  # fmt: skip
