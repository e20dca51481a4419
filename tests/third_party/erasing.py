"""Gives back machines with an empty disk. An image of it has no file, and says how many times zeros are written."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django import forms

from installs import scripts
from installs.methods.base import NetworkBoot, Outcome, WaitFor, Work
from installs.methods.ramdisk import RamdiskMethod
from installs.models import Image, Install
from machines.models import Disk, Machine

SCRIPT = Path(__file__).with_name("erasing.sh")
SLOWEST_BYTES_PER_SECOND = 2_000_000
SILENCE = timedelta(minutes=3)


class EraseForm(forms.Form):
    passes = forms.IntegerField(min_value=1, max_value=3)
    reason = forms.CharField(max_length=100, required=False)


class Erase(RamdiskMethod):
    slug = "shred"
    label = "Erase the disk"
    done_label = "Erased"
    steps = ("power_off", "set_boot", "power_on", "netboot", "erase", "switch_off")
    waits = {"netboot": "install", "erase": "erased"}
    phases = ("zeros",)
    milestones = (
        ("power_off", "Power off"),
        ("power_on", "Power on"),
        ("netboot", "Network boot"),
        ("zeros", "Writing zeros"),
        ("erased", "Erased"),
        ("switch_off", "Power off again"),
    )
    kinds = ("",)
    metadata_form = EraseForm

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        if disk and not disk.size_bytes:
            return [f"Nobody knows how large the disk of {machine.name} is."]
        return []

    def warnings(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        return [f"Nothing will be left on {machine.name}."]

    def erase(self, work: Work) -> Outcome:
        moved = work.install.plan["disk"]["size_bytes"] * work.install.plan["image"]["metadata"]["passes"]
        return WaitFor(SILENCE, cap=timedelta(seconds=moved / SLOWEST_BYTES_PER_SECOND))

    def switch_off(self, work: Work) -> Outcome:
        return self.power_off(work)

    def boots_network(self, received: set[str]) -> bool:
        return "install" not in received

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render_text(
            SCRIPT.read_text(), server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER, disk=plan["disk"],
            passes=plan["image"]["metadata"]["passes"],
        )  # fmt: skip

    def file(self, name: str, install: Install, boot: NetworkBoot) -> str | None:
        return f"{install.machine.name} is being erased\n" if name == "motd" else None
