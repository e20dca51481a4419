"""The life of an allocation and of each machine in it, as tables. Nothing here touches the database."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    WORKING = "working", _("Working")
    UNDOING = "undoing", _("Giving back")  # it is not to be: what goes on is ended first, and all is given back
    DONE = "done", _("Done")  # all machines that were asked for
    SHORT = "short", _("Short")  # fewer than were asked for
    FAILED = "failed", _("Failed")  # none
    CANCELLED = "cancelled", _("Cancelled")


LIVE = frozenset({State.WORKING, State.UNDOING})

#   event       may happen in                                leads to
TRANSITIONS: dict[str, tuple[frozenset[State], State]] = {
    "finish": (frozenset({State.WORKING}), State.DONE),
    "fall_short": (frozenset({State.WORKING}), State.SHORT),
    "give_up": (frozenset({State.WORKING}), State.UNDOING),
    "cancel": (frozenset({State.WORKING}), State.UNDOING),
    "end_failed": (frozenset({State.WORKING, State.UNDOING}), State.FAILED),
    "end_cancelled": (frozenset({State.UNDOING}), State.CANCELLED),
}


class Part(TextChoices):
    """What became of one machine in its allocation."""

    HELD = "held", _("Held")  # a spare, that nothing was done to
    WORKING = "working", _("Under way")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    LET_GO = "let_go", _("Not needed")
    GIVEN_BACK = "given_back", _("Given back")  # it was ready, and was released


OPEN = frozenset({Part.HELD, Part.WORKING})


class NotAllowed(Exception):
    """This cannot happen to an allocation in its present state."""


def after(state: str, event: str) -> State:
    """The state an allocation is in after `event`. Raises NotAllowed."""
    sources, target = TRANSITIONS[event]
    if state not in sources:
        raise NotAllowed(f"cannot {event.replace('_', ' ')} an allocation that is {State(state).label.lower()}")
    return target
