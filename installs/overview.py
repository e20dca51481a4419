"""What installs say about many machines at once: those under way, and those whose last attempt failed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from installs.advice import Advice, advice_for
from installs.lifecycle import State
from installs.models import Event, Install, InstallQuerySet
from installs.timeline import TRACE_KINDS, Mark, current, share_done, timeline
from installs.words import short_words
from machines.fleet import Doing
from machines.lifecycle import State as MachineState


@dataclass(frozen=True)
class Row:
    """An install with what a list shows of it."""

    install: Install
    words: str
    share: float
    step: int
    steps: int

    @property
    def percent(self) -> int:
        return int(100 * self.share)


@dataclass(frozen=True)
class Failed:
    install: Install
    mark: str
    advice: Advice


def running_installs(*, now: datetime) -> list[Row]:
    """Oldest first. Two queries."""
    return rows_of(list(Install.objects.live().select_related("machine__site", "image").order_by("pk")), now=now)


def rows_of(installs: list[Install], *, now: datetime) -> list[Row]:
    """Any installs as lists show them. One query."""
    return [_row(install, marks, now) for install, marks in with_marks(installs)]


def failed_installs() -> InstallQuerySet:
    """The last attempts of machines that failed and that nobody has tried again; retired machines do not count."""
    last = Install.objects.order_by().values("machine").annotate(last=Max("pk")).values("last")
    failed = Install.objects.filter(pk__in=last, state=State.FAILED).exclude(machine__state=MachineState.RETIRED)
    return failed.select_related("machine__site", "image").order_by("-ended_at")


def described(failed: Iterable[Install]) -> list[Failed]:
    """Failed installs with the mark they stopped at and the next click. One query."""
    marked = with_marks(list(failed))
    return [Failed(install, current(marks).label, advice_for(install.cause)) for install, marks in marked]


def with_marks(installs: list[Install]) -> list[tuple[Install, list[Mark]]]:
    """Each with its timeline, in one query for all."""
    events: dict[int, list[Event]] = {install.pk: [] for install in installs}
    kinds = (*TRACE_KINDS, Event.Kind.STATE)
    for event in Event.objects.filter(install__in=installs, kind__in=kinds).defer("data", "text"):
        events[event.install_id].append(event)
    return [(install, timeline(install, events[install.pk])) for install in installs]


def doing_by_machine(running: Iterable[Row], failed: Iterable[Install]) -> dict[int, Doing]:
    """For the maps and tables of machines."""
    doing = {install.machine_id: Doing(f"Failed: {install.cause}", failed=True) for install in failed}
    doing |= {run.install.machine_id: Doing(run.words, share=run.share) for run in running}
    return doing


def place_in_queue(install: Install) -> int:
    """How many queued installs of its site are before it."""
    before = Install.objects.filter(state=State.QUEUED, pk__lt=install.pk, machine__site=install.machine.site_id)
    return before.count()


def _row(install: Install, marks: list[Mark], now: datetime) -> Row:
    step = marks.index(current(marks)) + 1
    return Row(install, short_words(install, marks, now=now), share_done(marks, install), step, len(marks))
