"""The life of an install, as a table. Nothing here touches the database."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    QUEUED = "queued", _("Queued")  # asked for; no worker has looked at it yet
    RUNNING = "running", _("Running")  # a worker does, or is about to do, the current step
    WAITING = "waiting", _("Waiting")  # for the machine to call, or for a time to come
    STOPPING = "stopping", _("Stopping")  # being made harmless: the machine goes off before the attempt ends
    INSTALLED = "installed", _("Installed")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


LIVE = frozenset({State.QUEUED, State.RUNNING, State.WAITING, State.STOPPING})
GOING_ON = LIVE - {State.STOPPING}
ENDED = frozenset(State) - LIVE

#   event               may happen in               leads to
TRANSITIONS: dict[str, tuple[frozenset[State], State]] = {
    "begin": (frozenset({State.QUEUED}), State.RUNNING),
    "wait": (frozenset({State.RUNNING}), State.WAITING),
    "resume": (frozenset({State.WAITING}), State.RUNNING),
    "finish": (frozenset({State.RUNNING}), State.INSTALLED),
    "stop": (GOING_ON, State.STOPPING),
    "end_failed": (frozenset({State.STOPPING}), State.FAILED),
    "end_cancelled": (frozenset({State.STOPPING}), State.CANCELLED),
}


class NotAllowed(Exception):
    """This cannot happen to an install in its present state."""


def after(state: str, event: str) -> State:
    """The state an install is in after `event`. Raises NotAllowed."""
    sources, target = TRANSITIONS[event]
    if state not in sources:
        raise NotAllowed(f"cannot {event.replace('_', ' ')} an install that is {state}")
    return target
