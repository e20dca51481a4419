"""The life of a machine, as a table. Nothing here touches the database."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """What a machine is for at this moment. `failed` is how an install ended, not a state of the machine."""

    NEW = "new", _("New")  # in the inventory, never looked at from inside
    FREE = "free", _("Free")
    INSTALLING = "installing", _("Installing")
    WARM = "warm", _("Warm")  # its OS is installed and waits for an owner
    IN_USE = "in_use", _("In use")
    RELEASING = "releasing", _("Releasing")
    ERASING = "erasing", _("Erasing")
    ASIDE = "aside", _("Set aside")
    BROKEN = "broken", _("Broken")
    RETIRED = "retired", _("Retired")


class NotAllowed(Exception):
    """This cannot happen to a machine in its present state."""


INSTALLABLE = frozenset({State.NEW, State.FREE, State.WARM, State.IN_USE})

#   verb                may happen in                                   leads to
TRANSITIONS: dict[str, tuple[frozenset[State], State]] = {
    "inspected": (frozenset({State.NEW}), State.FREE),
    "install": (INSTALLABLE, State.INSTALLING),
    "installed": (frozenset({State.INSTALLING}), State.IN_USE),
    "pooled": (frozenset({State.INSTALLING}), State.WARM),
    "install_failed": (frozenset({State.INSTALLING}), State.FREE),
    "hand_over": (frozenset({State.WARM}), State.IN_USE),
    "hand_over_failed": (frozenset({State.WARM}), State.FREE),
    # It runs an OS that Dodai did not install, and keeps it.
    "adopt": (frozenset({State.NEW, State.FREE}), State.IN_USE),
    "release": (frozenset({State.IN_USE}), State.RELEASING),
    "undo_release": (frozenset({State.RELEASING}), State.IN_USE),
    "erase": (frozenset({State.RELEASING, State.FREE}), State.ERASING),  # a free one only where it is unerased
    # Nothing was done to it: the site said no, or somebody cancelled it before.
    "erase_refused": (frozenset({State.ERASING}), State.RELEASING),
    "erase_refused_free": (frozenset({State.ERASING}), State.FREE),
    "erased": (frozenset({State.ERASING}), State.FREE),
    "erase_failed": (frozenset({State.ERASING}), State.BROKEN),
    # Not what is warm: nothing in its row would tell it from what somebody uses.
    "set_aside": (frozenset({State.NEW, State.FREE, State.IN_USE, State.BROKEN}), State.ASIDE),
    # Taking back, repairing and bringing back lead to what the machine was, as far as its row tells: see upkeep.py.
    "take_back_new": (frozenset({State.ASIDE}), State.NEW),
    "take_back": (frozenset({State.ASIDE}), State.FREE),
    "take_back_used": (frozenset({State.ASIDE}), State.IN_USE),
    "take_back_broken": (frozenset({State.ASIDE}), State.BROKEN),
    "mark_broken": (
        frozenset({State.NEW, State.FREE, State.WARM, State.IN_USE, State.RELEASING, State.ASIDE}), State.BROKEN,
    ),
    "repaired": (frozenset({State.BROKEN}), State.NEW),
    "repaired_unerased": (frozenset({State.BROKEN}), State.RELEASING),
    "retire": (frozenset({State.NEW, State.FREE, State.ASIDE, State.BROKEN}), State.RETIRED),
    "bring_back": (frozenset({State.RETIRED}), State.NEW),
}  # fmt: skip


def after(state: str, verb: str) -> State:
    """The state a machine is in after `verb`. Raises NotAllowed."""
    sources, target = TRANSITIONS[verb]
    if state not in sources:
        raise NotAllowed(f"cannot {verb.replace('_', ' ')} a machine that is {State(state).label.lower()}")
    return target


def allowed(state: str) -> frozenset[str]:
    """The verbs of the table that can happen in this state."""
    return frozenset(verb for verb, (sources, _target) in TRANSITIONS.items() if state in sources)
