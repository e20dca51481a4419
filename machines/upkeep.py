"""What people decide about a machine: aside or back, its cluster, notes, protection, the end of its service."""

from collections.abc import Callable

from django.db import transaction
from django.utils.translation import gettext as _

from machines import doorbell, lifecycle
from machines.actions import Refused
from machines.lifecycle import State
from machines.models import Cluster, Machine
from machines.models.history import CHANGED, record_many

ASIDE_COLUMNS = ("aside_by", "aside_why", "aside_until")
NOTES_LIMIT = 20_000  # characters


def take_back(machine: Machine) -> Machine:
    """Put a machine that was set aside back to what it was. Raises Refused when it is not set aside."""

    def change(fresh: Machine) -> list[str]:
        verb = "take_back_new" if fresh.inspected_at is None else "take_back_used" if fresh.image_name else "take_back"
        fresh.aside_by, fresh.aside_why, fresh.aside_until = "", "", None
        return [*_move(fresh, verb), *ASIDE_COLUMNS]

    return _change(machine, change)


def retire(machine: Machine) -> Machine:
    """End the service of a machine; its history stays. Raises Refused while it is used, protected or worked on."""

    def change(fresh: Machine) -> list[str]:
        if fresh.protected:
            raise Refused(_("%(name)s is protected: take the protection off first") % {"name": fresh.name})
        fresh.aside_by, fresh.aside_why, fresh.aside_until = "", "", None
        return [*_move(fresh, "retire"), *ASIDE_COLUMNS]

    return _change(machine, change)


def bring_back(machine: Machine) -> Machine:
    """Return a retired machine to service, as one that has yet to be inspected. Raises Refused."""

    def change(fresh: Machine) -> list[str]:
        fresh.inspected_at, fresh.image_name = None, ""
        return [*_move(fresh, "bring_back"), "inspected_at", "image_name"]

    return _change(machine, change)


def protect(machine: Machine, *, protected: bool) -> Machine:
    """Let nothing be installed on it or switched off, or allow that again."""

    def change(fresh: Machine) -> list[str]:
        fresh.protected = protected
        return ["protected"]

    return _change(machine, change)


def write_notes(machine: Machine, notes: str) -> Machine:
    """Replace its notes. Raises Refused when they are too long to keep."""
    if len(notes) > NOTES_LIMIT:
        raise Refused(_("notes may have %(limit)s characters, these have %(count)s: shorten them")
                      % {"limit": NOTES_LIMIT, "count": len(notes)})  # fmt: skip

    def change(fresh: Machine) -> list[str]:
        fresh.notes = notes.replace("\r\n", "\n").replace("\0", "").strip()
        return ["notes"]

    return _change(machine, change)


def choose_cluster(machine: Machine, cluster: Cluster | None) -> Machine:
    """Put it into a cluster, or into none. Raises Refused while something is at work on it."""

    def change(fresh: Machine) -> list[str]:
        _refuse_if_handled(fresh)
        fresh.cluster = cluster
        return ["cluster"]

    return _change(machine, change)


def _change(machine: Machine, change: Callable[[Machine], list[str]]) -> Machine:
    """Change a locked row; `change` returns the columns it wrote. Pages are told."""
    with transaction.atomic():
        fresh = Machine.objects.select_for_update(of=("self",)).get(pk=machine.pk)
        fresh.save(update_fields=change(fresh))
    doorbell.tell_pages(machine=machine.pk)
    return fresh


def _move(machine: Machine, verb: str) -> list[str]:
    _refuse_if_handled(machine)
    was = State(machine.state)
    try:
        machine.state = lifecycle.after(machine.state, verb)
    except lifecycle.NotAllowed as exc:
        raise Refused(
            _("%(name)s is %(state)s now: load the page again to see what can be done with it")
            % {"name": machine.name, "state": str(State(machine.state).label).lower()}
        ) from exc
    record_many([(machine, CHANGED, {"state": [str(was.label), str(State(machine.state).label)]})])
    return ["state"]


def _refuse_if_handled(machine: Machine) -> None:
    if machine.handled_by:
        raise Refused(
            _("%(name)s is in the hands of %(who)s: cancel that first")
            % {"name": machine.name, "who": machine.handled_by}
        )
