"""The life of a wave, as a table. Nothing here touches the database."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    PROPOSED = "proposed", _("Wants approval")  # nothing happens before somebody who may approves its exact list
    RUNNING = "running", _("Running")  # its next machines begin as soon as its rules allow
    PAUSED = "paused", _("Paused")  # what is under way ends by itself; nothing more begins
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")  # by itself, as too many installs did not end well
    CANCELLED = "cancelled", _("Cancelled")


LIVE = frozenset({State.PROPOSED, State.RUNNING, State.PAUSED})
ENDED = frozenset(State) - LIVE

#   event               may happen in                               leads to
TRANSITIONS: dict[str, tuple[frozenset[State], State]] = {
    "approve": (frozenset({State.PROPOSED}), State.RUNNING),
    "pause": (frozenset({State.RUNNING}), State.PAUSED),
    "resume": (frozenset({State.PAUSED}), State.RUNNING),
    "cancel": (LIVE, State.CANCELLED),
    "stop": (frozenset({State.RUNNING, State.PAUSED}), State.STOPPED),
    "finish": (frozenset({State.RUNNING}), State.DONE),
}


class NotAllowed(Exception):
    """This cannot happen to a wave in its present state."""


def after(state: str, event: str) -> State:
    """The state a wave is in after `event`. Raises NotAllowed."""
    sources, target = TRANSITIONS[event]
    if state not in sources:
        raise NotAllowed(f"cannot {event} a wave that is {state}")
    return target
