"""How far a new place is on its way to its first real server: five steps, each told by rows, none ticked by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from installs import reach
from installs.lifecycle import State
from installs.models import Boot, Install
from machines.lifecycle import State as MachineState
from machines.models import Machine, Sighting, Site

SHOWN = 5
THIS_COMPUTER = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Progress:
    """What the steps are ticked by. `heard_at`: the last boot request from outside this computer."""

    url: str
    is_reachable: bool
    problems: Sequence[str]
    heard_at: datetime | None
    heard_from: Sequence[str]
    sightings: Sequence[Sighting]
    machines: Sequence[Machine]
    count: int
    tested: int
    inspected: int
    installed: int

    @property
    def done(self) -> list[bool]:
        """For each of the five steps whether it is behind us; an install that went well proves them all."""
        own = [self.is_reachable, self.heard_at is not None, self.count > 0, self.tested > 0, False]
        return [is_done or self.installed > 0 for is_done in own]

    @property
    def current(self) -> int:
        """The first step that is not done, from 0; 5 when all are."""
        return next((number for number, is_done in enumerate(self.done) if not is_done), len(self.done))


def progress() -> Progress:
    """A number of queries that does not grow."""
    site = Site.objects.filter(is_practice=False).order_by("pk").first() or Site(name="")
    url, found = reach.urls(site)["provision"], reach.problems(site)
    real = Machine.objects.real().exclude(state=MachineState.RETIRED)
    seen = list(Sighting.objects.order_by("-last_seen_at")[:SHOWN])
    boots = Boot.objects.filter(install__machine__site__is_practice=False).exclude(address__in=THIS_COMPUTER)
    last = boots.order_by("-asked_at").values_list("asked_at", "address").first()
    outside = [(one.last_seen_at, one.address) for one in seen if one.address not in THIS_COMPUTER]
    outside += [last] if last else []
    return Progress(
        url=url,
        is_reachable=not any(problem.is_certain for problem in found),
        problems=[problem.words for problem in found],
        heard_at=max((moment for moment, address in outside), default=None),
        heard_from=list(dict.fromkeys(address for moment, address in outside if address)),
        sightings=seen,
        machines=list(real.select_related("bmc").order_by("-pk")[:SHOWN]),
        count=real.count(),
        tested=real.filter(bmc__tested_at__isnull=False).count(),
        inspected=real.filter(inspected_at__isnull=False).count(),
        installed=Install.objects.real_installs().filter(state=State.INSTALLED, machine__in=real).count(),
    )
