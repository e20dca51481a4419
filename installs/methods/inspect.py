"""Looks at a machine from inside, and writes nothing."""

from typing import Any

from django.utils.translation import gettext_noop as _

from installs import scripts
from installs.methods.base import Operation, Outcome, Work
from installs.methods.ramdisk import RamdiskMethod
from machines import lifecycle


class Inspect(RamdiskMethod, Operation):
    slug = "inspect"
    label = _("Inspection")
    steps = ("power_off", "set_ports", "set_boot", "power_on", "netboot", "switch_off", "restore_ports")
    waits = {"netboot": "inspected"}
    milestones = (
        ("power_off", _("Power off")),
        ("power_on", _("Power on")),
        ("netboot", _("Network boot")),
        ("inspected", _("Facts received")),
        ("switch_off", _("Power off again")),
    )
    done_label = _("Inspected")
    possible_in = lifecycle.INSTALLABLE
    boots_ramdisk = True
    is_light = False

    def switch_off(self, work: Work) -> Outcome:
        return self.power_off(work)

    def boots_network(self, received: set[str]) -> bool:
        return "inspected" not in received

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render(
            "inspect/inspect.sh", server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER, attempt=plan["attempt"]
        )
