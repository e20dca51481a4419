"""What an install has passed through, with the seconds of each part, and what is usual for its image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median

from django.utils.translation import gettext, gettext_noop

from installs.lifecycle import ENDED, State
from installs.methods import METHODS
from installs.models import Event, Install

QUEUED = ("queued", gettext_noop("Queued"))
COMPARED_INSTALLS = 15
LATE_BEYOND = 1.5  # times the usual seconds of a part
LATE_AT_LEAST = timedelta(seconds=10)  # more than the usual: a second more of a second frightens nobody
TRACE_KINDS = (Event.Kind.STEP, Event.Kind.MACHINE, Event.Kind.PHASE)


class Look(StrEnum):
    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    UNSEEN = "unseen"  # passed, but nothing told when: its event got lost
    TODO = "todo"


@dataclass(frozen=True)
class Mark:
    """One line of the timeline. `took` is None while it goes on and where nobody knows."""

    name: str
    label: str
    look: Look
    at: datetime | None = None
    took: timedelta | None = None
    usual: timedelta | None = None


@dataclass(frozen=True)
class Usual:
    """Medians of earlier successful installs of the same image, or inspections; `count` of them."""

    count: int = 0
    whole: timedelta | None = None
    parts: dict[str, timedelta] | None = None

    def of(self, name: str) -> timedelta | None:
        return (self.parts or {}).get(name)


def timeline(install: Install, events: Iterable[Event], usual: Usual | None = None) -> list[Mark]:
    """The marks of an install in their order. `events` are its own; those of other kinds are ignored."""
    reached = _first_times(install, events)
    milestones = [QUEUED, *_milestones(install, reached)]
    last = max(index for index, (name, _) in enumerate(milestones) if name in reached)
    marks = []
    for index, (name, label) in enumerate(milestones):
        at = reached.get(name) if index <= last else None
        look = _look(install, index, last, at)
        marks.append(Mark(name, gettext(label), look, at, usual=usual.of(name) if usual else None))
    return _with_seconds(marks, last, _end(install, reached))


def current(marks: Sequence[Mark]) -> Mark:
    """The mark that goes on, or where it stopped; the last one when all is done."""
    return next((mark for mark in marks if mark.look in (Look.RUNNING, Look.FAILED)), marks[-1])


def is_late(mark: Mark, *, now: datetime) -> bool:
    """Whether this part takes, or took, notably longer than is usual."""
    took = mark.took or (now - mark.at if mark.at and mark.look == Look.RUNNING else None)
    if took is None or mark.usual is None:
        return False
    return took > max(mark.usual * LATE_BEYOND, mark.usual + LATE_AT_LEAST)


def share_done(marks: Sequence[Mark], install: Install) -> float:
    """How many of the marks are passed, from 0 to 1; the bytes of the present one count as its part."""
    if install.state == State.INSTALLED:
        return 1.0
    now_at = current(marks)
    index = marks.index(now_at)
    part = install.done_bytes / install.total_bytes if install.total_bytes and install.phase == now_at.name else 0.0
    return min((index + min(part, 1.0)) / len(marks), 1.0)


def usual_for(install: Install) -> Usual:
    """What earlier successes took. Two queries."""
    earlier = Install.objects.filter(state=State.INSTALLED, method=install.method, image=install.image_id)
    peers = list(earlier.exclude(pk=install.pk).filter(started_at__isnull=False)[:COMPARED_INSTALLS])
    events = Event.objects.filter(install__in=peers, kind__in=TRACE_KINDS)
    by_install: dict[int, list[Event]] = {}
    for event in events:
        by_install.setdefault(event.install_id, []).append(event)
    return usual_of([(peer, by_install.get(peer.pk, [])) for peer in peers])


def usual_of(peers: Sequence[tuple[Install, Sequence[Event]]]) -> Usual:
    """The medians over installs and their events."""
    took: dict[str, list[float]] = {}
    for install, events in peers:
        for mark in timeline(install, events):
            if mark.took is not None:
                took.setdefault(mark.name, []).append(mark.took.total_seconds())
    wholes = [(i.ended_at - i.queued_at).total_seconds() for i, _ in peers if i.ended_at]
    return Usual(
        count=len(peers),
        whole=timedelta(seconds=median(wholes)) if wholes else None,
        parts={name: timedelta(seconds=median(values)) for name, values in took.items()},
    )


def _milestones(install: Install, reached: dict[str, datetime]) -> list[tuple[str, str]]:
    """The method's, with the phases in the order in which this script really went through them."""
    if install.method not in METHODS:
        return []
    method = METHODS[install.method]
    phases = [pair for pair in method.milestones if pair[0] in method.phases]
    told = sorted((pair for pair in phases if pair[0] in reached), key=lambda pair: reached[pair[0]])
    ordered = iter([*told, *(pair for pair in phases if pair[0] not in reached)])
    return [next(ordered) if pair[0] in method.phases else pair for pair in method.milestones]


def _first_times(install: Install, events: Iterable[Event]) -> dict[str, datetime]:
    phases = METHODS[install.method].phases if install.method in METHODS else ()
    times = {QUEUED[0]: install.queued_at}
    for event in events:
        if event.kind == Event.Kind.STATE:
            if event.name == "stop":
                times["stop"] = event.at
        elif event.kind in TRACE_KINDS and (event.kind == Event.Kind.PHASE) == (event.name in phases):
            times[event.name] = min(event.at, times.get(event.name, event.at))
    return times


def _look(install: Install, index: int, last: int, at: datetime | None) -> Look:
    if install.state == State.INSTALLED:
        return Look.DONE if at else Look.UNSEEN
    if index > last:
        return Look.TODO
    if index < last:
        return Look.DONE if at else Look.UNSEEN
    return Look.FAILED if install.state in ENDED or install.state == State.STOPPING else Look.RUNNING


def _end(install: Install, reached: dict[str, datetime]) -> datetime | None:
    return reached.get("stop") or install.ended_at


def _with_seconds(marks: list[Mark], last: int, end: datetime | None) -> list[Mark]:
    """Each mark lasts until the next one that has a time; the last one until the end, if there is one."""
    following = end
    for index in range(last, -1, -1):
        at = marks[index].at
        if at is None:
            continue
        if following is not None:
            marks[index] = replace(marks[index], took=max(following - at, timedelta()))
        following = at
    return marks
