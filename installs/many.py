"""Plans for many machines at once: the same plan as for one, side by side, and approved as exactly that list."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from installs import actions, plan
from installs.models import Image, Install
from installs.plan import Plan
from machines import hardware
from machines.many import Confirmation, Result
from machines.models import Machine


class Refused(Exception):
    """It cannot be done as a whole. The message says why and what to do."""


@dataclass(frozen=True)
class Line:
    """One machine of the list. `plan` is None where there is nothing to plan; then `problems` says why."""

    machine: Machine
    plan: Plan | None
    problems: Sequence[str]
    contents: str = ""
    again: Install | None = None

    @property
    def is_possible(self) -> bool:
        return not self.problems

    @property
    def digest(self) -> str:
        return self.plan.digest if self.plan else ""

    @property
    def is_used(self) -> bool:
        return self.plan is not None and self.plan.needs_typed_name


@dataclass(frozen=True)
class ManyPlans:
    lines: Sequence[Line]

    @property
    def possible(self) -> list[Line]:
        return [line for line in self.lines if line.is_possible]

    @property
    def refused(self) -> list[Line]:
        return [line for line in self.lines if not line.is_possible]

    @property
    def confirmation(self) -> Confirmation:
        ready = self.possible
        return Confirmation(len(ready), tuple(line.machine.name for line in ready if line.is_used))

    @property
    def digest(self) -> str:
        """Names exactly this list with each of its plans: a list that changed since it was shown is another one."""
        words = [(line.machine.pk, line.is_possible, line.is_used, line.digest) for line in self.lines]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def plans(machines: Sequence[Machine], image: Image | None, *, again: bool = False) -> ManyPlans:
    """`image` on each of them; with `again` on each the image of its last attempt. Raises Refused for too many."""
    if len(machines) > settings.MANY_INSTALLS:
        raise Refused(
            ngettext(
                "At most %(limit)s machine is installed by one click, these are %(count)s: choose fewer.",
                "At most %(limit)s machines are installed by one click, these are %(count)s: choose fewer.",
                settings.MANY_INSTALLS,
            )
            % {"limit": settings.MANY_INSTALLS, "count": len(machines)}
        )
    last = last_attempts(machines) if again else {}
    return ManyPlans([_line(machine, image, last.get(machine.pk), again=again) for machine in machines])


def start(made: ManyPlans, *, by: str) -> list[Result]:
    """Start all that may start, each by the plan that was approved, and tell what came of each."""
    return [_start(line, by) for line in made.possible] + [
        Result(line.machine.name, False, " ".join(line.problems)) for line in made.refused
    ]


def _line(machine: Machine, image: Image | None, last: Install | None, *, again: bool) -> Line:
    wanted = (last.image if last else None) if again else image
    if wanted is None:
        return Line(machine, None, [_("%(name)s has no install to try again.") % {"name": machine.name}])
    made = plan.for_install(machine, wanted)
    contents = hardware.disk_contents(made.disk) if made.disk else ""
    return Line(machine, made, made.problems, contents, last if again else None)


def _start(line: Line, by: str) -> Result:
    assert line.plan and line.plan.image, "a line that is possible has a plan"
    try:
        install = actions.start_install(
            line.machine, line.plan.image, by=by, approved=line.plan.digest, retry_of=line.again
        )
    except actions.Refused as exc:
        return Result(line.machine.name, False, str(exc))
    words = _("%(image)s is being installed") % {"image": line.plan.image.name}
    return Result(line.machine.name, True, words, reverse("install", args=[install.pk]))


def last_attempts(machines: Sequence[Machine]) -> dict[int, Install]:
    """By machine, those that were ever installed. One query."""
    attempts = Install.objects.real_installs().filter(machine__in=machines).select_related("image").order_by("pk")
    return {install.machine_id: install for install in attempts.defer("script", "error_detail")}
