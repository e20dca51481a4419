"""What an install is doing at this moment, in words that are true then. No query is made here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dodaiweb.formats import ago, clock, duration, share_of, size
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Event, Install
from installs.timeline import Look, Mark, Usual, current

SILENCE_WORTH_SAYING = timedelta(seconds=10)
TRUSTED_RATE = timedelta(seconds=5)


@dataclass(frozen=True)
class Words:
    """For the top of the page: what goes on, in how much, and until when."""

    headline: str
    details: str
    deadline: str = ""


def words_for(
    install: Install, marks: Sequence[Mark], *, now: datetime, usual: Usual | None = None, ahead: int = 0
) -> Words:
    """`ahead`: how many queued installs of the site are before this one."""
    match install.state:
        case State.QUEUED:
            return _queued(install, now, ahead)
        case State.STOPPING:
            return _stopping(install)
        case State.INSTALLED:
            return _installed(install)
        case State.FAILED | State.CANCELLED:
            return _stopped(install, marks)
    here = current(marks)
    silence = _silence(install, here, now)
    left = [] if silence or install.operator_task else _left(marks, usual, now)
    parts = [*_bytes(install, here, now), *silence, *_tries(install), *left]
    return Words(here.label, ", ".join(parts), _deadline(install))


def short_words(install: Install, marks: Sequence[Mark], *, now: datetime) -> str:
    """One line for lists: `Copying files, 41 of 62 MB`."""
    if install.operator_task:
        return f"Waits for a person: {install.operator_task}"
    if install.state == State.QUEUED:
        return "Queued"
    if install.state == State.STOPPING:
        return "Being stopped"
    if install.state == State.INSTALLED:
        return done_label(install)
    if install.state in (State.FAILED, State.CANCELLED):
        return f"{State(install.state).label} at “{current(marks).label}”"
    here = current(marks)
    return ", ".join([here.label, *_bytes(install, here, now)[:1]])


def done_label(install: Install) -> str:
    """`Installed`, or the method's own word for its end."""
    method = METHODS.get(install.method)
    return method.done_label if method else State.INSTALLED.label


STATE_EVENTS = {
    "queue": "asked for", "begin": "begun", "finish": "finished", "stop": "being stopped",
    "end_failed": "ended as failed", "end_cancelled": "ended as cancelled",
}  # fmt: skip


def event_words(event: Event) -> str:
    """What an event of the history was, "" for those that say nothing to a person (waits come and go)."""
    match event.kind:
        case Event.Kind.STATE:
            return STATE_EVENTS.get(event.name, "")
        case Event.Kind.MACHINE:
            return f"the machine said “{event.name}”"
        case Event.Kind.ALERT:
            return "alert"
        case Event.Kind.NOTE:
            return "note"
    return ""


def noun(install: Install) -> str:
    return "inspection" if install.is_inspection else "install"


def _queued(install: Install, now: datetime, ahead: int) -> Words:
    waited = f"for {duration(now - install.queued_at)}"
    if ahead:
        return Words("Waiting in the queue", f"{waited}; {ahead} before it at {install.machine.site}")
    return Words("Waiting in the queue", f"{waited}; next at {install.machine.site}")


def _stopping(install: Install) -> Words:
    why = "Cancelling" if install.wanted_end == State.CANCELLED else "Failed, and being made harmless"
    off = install.power_off_to_stop
    doing = "switching the machine off and reading it back" if off else "taking back what was allowed"
    until = f"ends at {clock(install.give_up_at)} even if that cannot be verified" if install.give_up_at else ""
    return Words(why, doing, until)


def _installed(install: Install) -> Words:
    detail = f"in {duration(install.ended_at - install.queued_at if install.ended_at else None)}"
    if install.confirmed_at:
        detail += f"; the OS itself called at {clock(install.confirmed_at)}"
    return Words(done_label(install), detail)


def _stopped(install: Install, marks: Sequence[Mark]) -> Words:
    what = State(install.state).label
    where = f" at “{current(marks).label}”" if any(mark.look == Look.FAILED for mark in marks) else ""
    subject = "Inspection " if install.is_inspection else ""
    return Words(f"{subject}{what.lower() if subject else what}{where}", install.error)


def _bytes(install: Install, here: Mark, now: datetime) -> list[str]:
    if install.phase != here.name or not install.total_bytes:
        return []
    parts = [share_of(install.done_bytes, install.total_bytes)]
    heard = install.progress_at
    if install.bytes_per_second and heard and now - heard <= TRUSTED_RATE and install.done_bytes < install.total_bytes:
        left = (install.total_bytes - install.done_bytes) / install.bytes_per_second
        parts += [f"{size(install.bytes_per_second)}/s", f"about {duration(left)} left"]
    return parts


def _silence(install: Install, here: Mark, now: datetime) -> list[str]:
    """Only where the machine has spoken before: at the network boot silence is what everybody expects."""
    if not (install.quiet_until and install.silence) or here.name == "netboot":
        return []
    heard = install.quiet_until - install.silence
    return [f"silent for {ago(heard, now=now)}"] if now - heard > SILENCE_WORTH_SAYING else []


def _tries(install: Install) -> list[str]:
    return [f"try {install.tries + 1}"] if install.tries else []


def _left(marks: Sequence[Mark], usual: Usual | None, now: datetime) -> list[str]:
    """How long the whole usually still takes, from the usual seconds of what is left."""
    left = time_left(marks, usual, now=now)
    return [f"usually about {duration(left)} more"] if left else []


def time_left(marks: Sequence[Mark], usual: Usual | None, *, now: datetime) -> timedelta | None:
    """None where no earlier success tells."""
    if not usual or not usual.count:
        return None
    left = timedelta()
    for mark in marks:
        expected = usual.of(mark.name) or timedelta()
        if mark.look == Look.TODO:
            left += expected
        elif mark.look == Look.RUNNING and mark.at:
            left += max(expected - (now - mark.at), timedelta())
    return left or None


def _deadline(install: Install) -> str:
    until = install.deadline
    if until is None:
        return ""
    if until == install.quiet_until:
        return f"given up at {clock(until)} if silent"
    return f"given up at {clock(until)} at the latest"
