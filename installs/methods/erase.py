"""Erases all disks of a machine that nobody has any more, and proves it by samples that the server chose."""

from datetime import timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from installs import scripts
from installs.erasing import planned
from installs.lifecycle import State as InstallState
from installs.methods.base import Next, Operation, Outcome, WaitFor, Work
from installs.methods.operations.base import ask_site
from installs.methods.ramdisk import RamdiskMethod
from installs.models import Event, Install
from installs.ports import booting, moving, which
from machines import addressing, lifecycle
from machines.lifecycle import State
from machines.models import Machine

SILENCE = timedelta(minutes=5)
OVERHEAD = timedelta(hours=1)
SLOWEST_BYTES_PER_SECOND = 20_000_000  # of one disk, all of them side by side
MOST_PASSES = 3  # by a method that fails at its end, and those that follow it


class Erase(RamdiskMethod, Operation):
    slug = "erase"
    label = gettext_noop("Erase all disks")
    done_label = gettext_noop("Erased")
    steps = ("ask_site", "power_off", "set_ports", "set_boot", "power_on", "netboot", "erase", "switch_off", "park")
    waits = {"netboot": "install", "erase": "deleted"}
    phases: ClassVar[tuple[str, ...]] = ("mark", "erase")
    milestones = (
        ("ask_site", gettext_noop("Asking the site")),
        ("power_off", gettext_noop("Power off")),
        ("power_on", gettext_noop("Power on")),
        ("netboot", gettext_noop("Network boot")),
        ("install", gettext_noop("Looking at the disks")),
        ("mark", gettext_noop("Marking the samples")),
        ("erase", gettext_noop("Erasing all disks")),
        ("deleted", gettext_noop("Erased and read back")),
        ("switch_off", gettext_noop("Power off again")),
    )
    possible_in = frozenset({State.RELEASING, State.FREE})
    boots_ramdisk = True
    writes_disks = True
    writes_all_disks = True

    def machine_problems(self, machine: Machine, told: dict[str, Any]) -> list[str]:
        if machine.state == State.FREE and not machine.unerased:
            words, state = _("%(name)s is %(state)s: that cannot be done with it now."), str(State.FREE.label).lower()
            return [words % {"name": machine.name, "state": state}]
        return [*self._problems_of_disks(machine), *booting.problems_of_erasing(machine)]

    def _problems_of_disks(self, machine: Machine) -> list[str]:
        if not planned.disks_of(machine):
            words = _("No disk of %(name)s is known: undo its release, inspect it, and release it again.")
            return [] if planned.has_none(machine) else [words % {"name": machine.name}]
        if shared := planned.shared(machine):
            words = _("Disks of %(name)s are in other machines as well: %(disks)s. Unmap each from the machine that "
                      "does not use it, and take it out of that one in the inventory or inspect it again.")  # fmt: skip
            return [words % {"name": machine.name, "disks": ", ".join(f"{disk} ({other})" for disk, other in shared)}]
        unclear = ", ".join(str(disk) for disk in planned.unclear(machine))
        if not unclear:
            return []
        words = _("Disks of %(name)s were not in it at its last inspection: %(disks)s. Those that are gone must be "
                  "taken out of the inventory.")  # fmt: skip
        return [words % {"name": machine.name, "disks": unclear}]

    def facts(self, machine: Machine, told: dict[str, Any]) -> dict[str, Any]:
        disks = planned.disks_of(machine)
        samples = [planned.places(disk["size_bytes"] or 0) for disk in disks]
        return {"disks": disks, "samples": samples} | which.parking(machine, boots=True)

    def begun(self, install: Install, machine: Machine) -> None:
        machine.state = lifecycle.after(machine.state, "erase")
        machine.erase_at = None

    def finished(self, install: Install, machine: Machine) -> None:
        machine.state = lifecycle.after(machine.state, "erased")
        _belongs_to_nobody(machine)

    def failed(self, install: Install, machine: Machine) -> None:
        """Cancelled, too: nobody knows what its disks hold now, whatever became of the row meanwhile.

        Before the machine is touched nothing has happened to it; it waits for somebody's decision.
        """
        if install.failed_step == "ask_site" and machine.state == State.ERASING:
            was_free = install.plan["machine_was"] == State.FREE
            machine.state = lifecycle.after(machine.state, "erase_refused_free" if was_free else "erase_refused")
            return
        machine.state, machine.unerased, machine.erase_at = State.BROKEN, True, None
        words = "Not erased"
        if install.events.filter(kind=Event.Kind.MACHINE, name="deleted").exists():  # something failed afterwards
            _belongs_to_nobody(machine)
            words = "Erased, but"
        machine.broken_by, machine.broken_why = install.requested_by, f"{words}: {install.error}"[:255]

    def ask_site(self, work: Work) -> Outcome:
        """It has agreed where the machine was released. Who marks it as broken and as repaired goes another way."""
        return Next() if _was_released(work.machine) else ask_site(work, otherwise="keeps its data")

    def erase(self, work: Work) -> Outcome:
        largest = max((disk["size_bytes"] for disk in work.install.plan["disks"]), default=0)
        return WaitFor(SILENCE, cap=OVERHEAD + MOST_PASSES * timedelta(seconds=largest / SLOWEST_BYTES_PER_SECOND))

    def switch_off(self, work: Work) -> Outcome:
        return self.power_off(work)

    def park(self, work: Work) -> Outcome:
        """It belongs to nobody from now on, wherever its ports were before."""
        return moving.put(work, which.HOME)

    def boots_network(self, received: set[str]) -> bool:
        return "deleted" not in received

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render(
            "erase/erase.sh", server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER,
            sample_bytes=planned.SAMPLE_BYTES, disks=_lines(plan),
        )  # fmt: skip


def _was_released(machine: Machine) -> bool:
    """Nothing but a release has ended well since it was last in use; what nobody inspected may be another's since."""
    newest = machine.installs.filter(state=InstallState.INSTALLED).order_by("-pk").first()
    return newest is not None and newest.method == "release" and machine.inspected_at is not None


def _belongs_to_nobody(machine: Machine) -> None:
    addressing.leave(machine)
    machine.owner, machine.image_name, machine.unerased = "", "", False
    machine.disks.filter(is_removable=False).update(signatures=[])


def _lines(plan: dict[str, Any]) -> str:
    """What scripts/erase/erase.sh reads."""
    return "\n".join(
        "\t".join([disk["serial"], disk["wwn"], str(disk["size_bytes"]), " ".join(map(str, places))])
        for disk, places in zip(plan["disks"], plan["samples"], strict=True)
    )
