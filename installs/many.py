"""Plans for many machines at once: the same plan as for one, side by side, and approved as exactly that list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from installs import actions, caps, digests, plan
from installs.models import MOST_MACHINES, Image, Install
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
        return digests.digest(self.parts)

    @property
    def parts(self) -> dict[str, Any]:
        """By the facts that a digest can name: the same fact of all machines together."""
        plans = [line.plan.parts if line.plan else {} for line in self.lines]
        by_fact = {fact: [parts.get(fact) for parts in plans] for fact in plan.PARTS}
        return {"list": [(line.machine.pk, line.is_possible, line.is_used) for line in self.lines]} | by_fact


def plans(machines: Sequence[Machine], image: Image | None, *, again: bool = False) -> ManyPlans:
    """`image` on each of them; with `again` on each the image of its last attempt. Raises Refused for too many."""
    if len(machines) > MOST_MACHINES:
        words = _("These are %(count)s machines: plan at most %(limit)s at once.")
        raise Refused(words % {"count": len(machines), "limit": MOST_MACHINES})
    last = last_attempts(machines) if again else {}
    return ManyPlans([_line(machine, image, last.get(machine.pk), again=again) for machine in machines])


def why_too_many(made: ManyPlans, *, by: str) -> str:
    """The cap that `by` would go over; "" while there is room for all that may start."""
    try:
        caps.check_request(by, len(made.possible))
    except caps.OverCap as exc:
        return str(exc)
    return ""


def start(made: ManyPlans, *, by: str) -> list[Result]:
    """Start all that may start, each by the plan that was approved, and tell what came of each.

    Raises Refused, and starts none, when they are more than `by` may install.
    """
    if over := why_too_many(made, by=by):
        raise Refused(over)
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
    return {install.machine_id: install for install in attempts.defer("error_detail")}
