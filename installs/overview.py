"""What installs say about many machines at once: those under way, and those whose last attempt failed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext

from installs.lifecycle import State
from installs.models import Event, Install, InstallQuerySet
from installs.timeline import TRACE_KINDS, Mark, current, share_done, timeline
from installs.usual import is_late, usual_times
from installs.words import short_words
from machines.fleet import Doing
from machines.lifecycle import State as MachineState
from machines.models import Machine

NOT_LISTED = ("plan", "error_detail")  # long, and shown on an install's own page only


@dataclass(frozen=True)
class Row:
    """An install with what a list shows of it."""

    install: Install
    words: str
    share: float
    step: int
    steps: int
    usual: timedelta | None = None
    is_late: bool = False

    @property
    def percent(self) -> int:
        return int(100 * self.share)


def running_installs(*, now: datetime, machines: Iterable[int]) -> list[Row]:
    """Those on these machines, oldest first. Three queries, however many there are."""
    return rows_of(list(live_installs().filter(machine__in=machines)), now=now)


def live_installs() -> InstallQuerySet:
    """Oldest first, as lists need them."""
    return Install.objects.live().select_related("machine__site", "image").order_by("pk").defer(*NOT_LISTED)


def live_operations(machines: Iterable[Machine]) -> dict[int, str]:
    """Machine -> what is done to it that is no install, by its slug. Most keep their state meanwhile. One query."""
    rows = Install.objects.live().filter(image=None, machine__in=list(machines))
    return dict(rows.values_list("machine", "method"))


def late_installs(live: Iterable[Install], *, now: datetime) -> set[int]:
    """Which of them take notably longer than is usual. One query."""
    live = list(live)
    times = usual_times(live)
    return {install.pk for install in live if is_late(install, times.of(install), now=now)}


def rows_of(installs: list[Install], *, now: datetime) -> list[Row]:
    """Any installs as lists show them. Two queries."""
    times = usual_times([install for install in installs if install.is_live])
    return [_row(install, marks, now, times.of(install)) for install, marks in with_marks(installs)]


def failed_installs() -> InstallQuerySet:
    """The last attempts of machines that failed and that nobody has tried again; retired machines do not count."""
    newer = Install.objects.filter(machine=OuterRef("machine"), pk__gt=OuterRef("pk"))
    failed = Install.objects.filter(~Exists(newer), state=State.FAILED).exclude(machine__state=MachineState.RETIRED)
    return failed.select_related("machine__site", "image").order_by("-ended_at").defer(*NOT_LISTED)


def causes_of_failures() -> dict[int, str]:
    """Machine -> why its last attempt failed, for all of `failed_installs`. One query."""
    return dict(failed_installs().order_by().values_list("machine_id", "cause"))


def with_marks(installs: list[Install]) -> list[tuple[Install, list[Mark]]]:
    """Each with its timeline, in one query for all."""
    events: dict[int, list[Event]] = {install.pk: [] for install in installs}
    kinds = (*TRACE_KINDS, Event.Kind.STATE)
    for event in Event.objects.filter(install__in=installs, kind__in=kinds).defer("data", "text"):
        events[event.install_id].append(event)
    return [(install, timeline(install, events[install.pk])) for install in installs]


def doing_by_machine(
    running: Iterable[Row], failed: Iterable[Install], live: Iterable[Install] = ()
) -> dict[int, Doing]:
    """For the map of machines. Of those that are `live` but not among `running` only that much is said."""
    words = gettext("Failed: %(cause)s")
    doing = {install.machine_id: Doing(words % {"cause": install.cause}, failed=True) for install in failed}
    doing |= {install.machine_id: Doing("") for install in live}
    doing |= {run.install.machine_id: Doing(run.words, share=run.share) for run in running}
    return doing


def place_in_queue(install: Install) -> int:
    """How many queued installs of its site are before it."""
    before = Install.objects.filter(state=State.QUEUED, pk__lt=install.pk, machine__site=install.machine.site_id)
    return before.count()


def _row(install: Install, marks: list[Mark], now: datetime, usual: timedelta | None) -> Row:
    step = marks.index(current(marks)) + 1
    words, share = short_words(install, marks, now=now), share_done(marks, install)
    return Row(install, words, share, step, len(marks), usual, is_late(install, usual, now=now))
