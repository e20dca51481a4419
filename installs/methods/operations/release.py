"""Takes a machine back from its owner: the site may refuse, then it goes off, and its ports are parked.

Its disks are kept until `erase_at`; until then undo_release.py brings all back.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.timezone import now
from django.utils.translation import gettext_noop as _

from installs.methods.base import Again, Next, Outcome, Work
from installs.methods.operations.base import PortOperation, ask_site, problems_of_power
from installs.methods.ramdisk import RamdiskMethod
from installs.models import Install
from installs.ports import booting, moving, which
from machines import lifecycle
from machines.lifecycle import State
from machines.models import Machine
from machines.power.base import Power

SOFT_LOOKS, LOOK_AGAIN = 10, timedelta(seconds=3)  # so long its OS may take to shut down by itself


class Release(RamdiskMethod, PortOperation):
    """Told `keep_minutes`, or None: as the settings say. 0 is at once."""

    slug = "release"
    label = _("Release")
    steps = ("ask_site", "shut_down", "switch_off", "park")
    waits = {}
    milestones = (
        ("ask_site", _("Asking the site")),
        ("shut_down", _("Shutting down")),
        ("switch_off", _("Power off")),
        ("park", _("Switch ports parked")),
    )
    done_label = _("Released")
    possible_in = frozenset({State.IN_USE, State.RELEASING})

    def machine_problems(self, machine: Machine, told: dict[str, Any]) -> list[str]:
        return [*problems_of_power(machine), *booting.problems_of_parking(machine)]

    def facts(self, machine: Machine, told: dict[str, Any]) -> dict[str, Any]:
        return which.parking(machine)

    def ask_site(self, work: Work) -> Outcome:
        return ask_site(work, otherwise="stays in use")

    def shut_down(self, work: Work) -> Outcome:
        """Its OS is asked once; what it does not do is done by the next step."""
        if work.power.state() == Power.OFF or work.install.tries > SOFT_LOOKS:
            return Next()
        if not work.install.tries:
            work.power.soft_off()
        work.install.tries += 1
        return Again(LOOK_AGAIN)

    def switch_off(self, work: Work) -> Outcome:
        return self.power_off(work)

    def park(self, work: Work) -> Outcome:
        return moving.put(work, which.HOME)

    def begun(self, install: Install, machine: Machine) -> None:
        machine.erase_at = None
        if machine.state == State.IN_USE:
            machine.state = lifecycle.after(machine.state, "release")

    def finished(self, install: Install, machine: Machine) -> None:
        minutes = install.plan.get("told", {}).get("keep_minutes")
        machine.erase_at = now() + timedelta(minutes=settings.UNDO_MINUTES if minutes is None else minutes)

    def failed(self, install: Install, machine: Machine) -> None:
        """Before the machine is touched nothing has happened to it; later it waits for somebody's decision."""
        was_used = install.plan["machine_was"] == State.IN_USE
        if was_used and install.failed_step == "ask_site" and machine.state == State.RELEASING:
            machine.state = lifecycle.after(machine.state, "undo_release")
