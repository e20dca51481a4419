"""What an install is doing at this moment, in words that are true then. No query is made here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dodaiweb.formats import ago, clock, duration, share_of, size
from dodaiweb.stored_words import told
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Event, Install
from installs.operation_words import cancelled_words, failed_words
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
        return _("Waits for a person: %(task)s") % {"task": told(install.operator_task)}
    if install.state == State.QUEUED:
        return _("Queued")
    if install.state == State.STOPPING:
        return _("Being stopped")
    if install.state == State.INSTALLED:
        return done_label(install)
    if install.state in (State.FAILED, State.CANCELLED):
        return _ended_at(str(State(install.state).label), current(marks))
    here = current(marks)
    return ", ".join([here.label, *_bytes(install, here, now)[:1]])


def done_label(install: Install) -> str:
    """`Installed`, or the method's own word for its end."""
    if is_unconfirmed(install):
        return _("Installed, not confirmed")
    method = METHODS.get(install.method)
    return _(method.done_label) if method else str(State.INSTALLED.label)


def is_unconfirmed(install: Install) -> bool:
    """Whether its OS was seen, but has not called as its method expects."""
    method = METHODS.get(install.method)
    is_to_call = method is not None and "installed" in method.waits.values()
    return is_to_call and install.state == State.INSTALLED and install.confirmed_at is None


STATE_EVENTS = {
    "queue": gettext_lazy("asked for"), "begin": gettext_lazy("begun"), "finish": gettext_lazy("finished"),
    "stop": gettext_lazy("being stopped"), "end_failed": gettext_lazy("ended as failed"),
    "end_cancelled": gettext_lazy("ended as cancelled"),
}  # fmt: skip


BY_OPERATORS = {"taken": gettext_lazy("taken"), "installed": gettext_lazy("done by hand")}


def event_words(event: Event) -> str:
    """What an event of the history was, "" for those that say nothing to a person (waits come and go)."""
    match event.kind:
        case Event.Kind.STATE:
            return str(STATE_EVENTS.get(event.name, ""))
        case Event.Kind.MACHINE if event.by:
            return str(BY_OPERATORS.get(event.name, event.name))
        case Event.Kind.MACHINE:
            return _("the machine said “%(word)s”") % {"word": event.name}
        case Event.Kind.ALERT:
            return _("alert")
        case Event.Kind.NOTE:
            return _("note")
    return ""


def _queued(install: Install, now: datetime, ahead: int) -> Words:
    values = {"time": duration(now - install.queued_at), "ahead": ahead, "site": install.machine.site}
    if ahead:
        return Words(_("Waiting in the queue"), _("for %(time)s; %(ahead)s before it at %(site)s") % values)
    return Words(_("Waiting in the queue"), _("for %(time)s; next at %(site)s") % values)


def _stopping(install: Install) -> Words:
    is_cancelled = install.wanted_end == State.CANCELLED
    why = _("Cancelling") if is_cancelled else _("Failed, and being made harmless")
    off = install.power_off_to_stop
    doing = _("switching the machine off and reading it back") if off else _("taking back what was allowed")
    until = _("ends at %(time)s even if that cannot be verified") % {"time": clock(install.give_up_at)}
    return Words(why, doing, until if install.give_up_at else "")


def _installed(install: Install) -> Words:
    took = duration(install.ended_at - install.queued_at if install.ended_at else None)
    if is_unconfirmed(install):
        return Words(done_label(install), _("in %(time)s; the OS answers, but has not called itself") % {"time": took})
    if install.confirmed_by:
        values = {"time": took, "who": install.confirmed_by}
        return Words(done_label(install), _("in %(time)s; confirmed by %(who)s") % values)
    if not install.confirmed_at:
        return Words(done_label(install), _("in %(time)s") % {"time": took})
    values = {"time": took, "called": clock(install.confirmed_at)}
    return Words(done_label(install), _("in %(time)s; the OS itself called at %(called)s") % values)


def _stopped(install: Install, marks: Sequence[Mark]) -> Words:
    what = failed_words(install) if install.state == State.FAILED else cancelled_words(install)
    failed = any(mark.look == Look.FAILED for mark in marks)
    return Words(_ended_at(what, current(marks)) if failed else what, told(install.error))


def _ended_at(ended: str, mark: Mark) -> str:
    """`Failed at “Network boot”`."""
    return _("%(ended)s at “%(step)s”") % {"ended": ended, "step": mark.label}


def _bytes(install: Install, here: Mark, now: datetime) -> list[str]:
    if install.phase != here.name or not install.total_bytes:
        return []
    parts = [share_of(install.done_bytes, install.total_bytes)]
    heard = install.progress_at
    if install.bytes_per_second and heard and now - heard <= TRUSTED_RATE and install.done_bytes < install.total_bytes:
        left = (install.total_bytes - install.done_bytes) / install.bytes_per_second
        parts += [f"{size(install.bytes_per_second)}/s", _("about %(time)s left") % {"time": duration(left)}]
    return parts


def _silence(install: Install, here: Mark, now: datetime) -> list[str]:
    """Only where the machine has spoken before: at the network boot, and of people, silence is what all expect."""
    if not (install.quiet_until and install.silence) or here.name == "netboot" or install.operator_task:
        return []
    heard = install.quiet_until - install.silence
    return [_("silent for %(time)s") % {"time": ago(heard, now=now)}] if now - heard > SILENCE_WORTH_SAYING else []


def _tries(install: Install) -> list[str]:
    return [_("try %(number)s") % {"number": install.tries + 1}] if install.tries else []


def _left(marks: Sequence[Mark], usual: Usual | None, now: datetime) -> list[str]:
    """How long the whole usually still takes, from the usual seconds of what is left."""
    left = time_left(marks, usual, now=now)
    return [_("usually about %(time)s more") % {"time": duration(left)}] if left else []


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
    if until == install.quiet_until and until != install.give_up_at:
        return _("given up at %(time)s if silent") % {"time": clock(until)}
    return _("given up at %(time)s at the latest") % {"time": clock(until)}
