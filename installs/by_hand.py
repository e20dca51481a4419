"""What operators say of the installs that they do by hand. Called by pages.

*Taken* is to them what the write grant is to a machine: before it nothing may have been written, and it is refused
where the machine may no longer be touched or is not what was approved. *Done* confirms as an OS's own call does.
"""

from django.db import transaction
from django.utils.translation import gettext as _

from installs import binding, ending, flow, untouchable
from installs.actions import Refused
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Event, Install, add_event
from installs.rows import lock
from installs.written import UNTOUCHED

TEXT_CHARACTERS = 1000


def is_open(install: Install) -> bool:
    """Whether an operator may say something of it now."""
    method = METHODS.get(install.method)
    return method is not None and method.by_operator and install.state in (State.RUNNING, State.WAITING)


def take(install: Install, *, by: str) -> None:
    """Somebody is at it. Raises Refused, also where another one was before, and where it ended for that."""
    with transaction.atomic():
        locked = _open(install)
        taken = _taken(locked)
        why = "" if taken else _take(locked, by)
    if taken:
        raise Refused(_("%(who)s has taken it already.") % {"who": taken.by})
    if why:
        raise Refused(why)


def note(install: Install, text: str, *, by: str) -> None:
    """Into its history. Raises Refused."""
    with transaction.atomic():
        add_event(_open(install), Event.Kind.NOTE, "note", text=_needed(text), by=by)


def done(install: Install, *, by: str) -> None:
    """The machine runs the image. Raises Refused, also where it may not be touched and nobody had taken it."""
    with transaction.atomic():
        locked = _open(install)
        why = "" if _taken(locked) else _take(locked, by)
        if not why:
            flow.receive(install.pk, "installed", by=by)
    if why:
        raise Refused(why)


def cannot(install: Install, reason: str, *, is_untouched: bool, by: str) -> None:
    """It fails, in the operator's own words. `is_untouched`: they wrote nothing. Raises Refused."""
    with transaction.atomic():
        locked, words = _open(install), _needed(reason)
        if is_untouched:
            add_event(locked, Event.Kind.NOTE, UNTOUCHED, text="Nothing was written.", by=by)
        ending.stop_locked(locked, cause="cannot-be-done", error=words, by=by)


def _take(locked: Install, by: str) -> str:
    """Why it cannot be taken, and has therefore ended; "" where it was."""
    cause, error = untouchable.why(locked.machine)
    if not cause and (fact := binding.changed_fact(locked)):
        error = f"{locked.machine.name}: {fact} changed after the plan was approved. Nothing was written."
        cause = "plan"
    if cause:
        ending.stop_locked(locked, cause=cause, error=error)
        return error
    flow.receive(locked.pk, "taken", by=by)
    return ""


def _open(install: Install) -> Install:
    locked = lock(install.pk)
    if not is_open(locked):
        state = str(State(locked.state).label).lower()
        words = _("%(install)s of %(name)s is %(state)s: there is nothing to do by hand now.")
        raise Refused(words % {"install": locked, "name": locked.machine.name, "state": state})
    return locked


def _taken(install: Install) -> Event | None:
    return install.events.filter(kind=Event.Kind.MACHINE, name="taken").first()


def _needed(text: str) -> str:
    words = text.replace("\0", "").strip()[:TEXT_CHARACTERS]
    if not words:
        raise Refused(_("Write some words first."))
    return words
