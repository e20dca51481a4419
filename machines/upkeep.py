"""What people decide about a machine: aside or back, its cluster, notes, protection, the end of its service."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from machines import addressing, doorbell, lifecycle
from machines.actions import Refused
from machines.lifecycle import State
from machines.models import Cluster, Machine
from machines.models.history import CHANGED, record_many

ASIDE_COLUMNS = ("aside_by", "aside_why", "aside_until")
BROKEN_COLUMNS = ("broken_by", "broken_why", "unerased", "erase_at")
OWNED_COLUMNS = ("owner", "cluster", "image_name")
HOLDING_DATA = (State.WARM, State.IN_USE, State.RELEASING)
WITHOUT_OS = (State.NEW, State.FREE)
NOTES_LIMIT = 20_000  # characters


def take_back(machine: Machine) -> Machine:
    """Put a machine that was set aside back to what it was. Raises Refused when it is not set aside."""

    def change(fresh: Machine) -> list[str]:
        verb = _way_back(fresh)
        fresh.aside_by, fresh.aside_why, fresh.aside_until = "", "", None
        return [*_move(fresh, verb), *ASIDE_COLUMNS]

    return _change(machine, change)


def mark_broken(machine: Machine, *, by: str, why: str) -> Machine:
    """Out of use until somebody has repaired it. What was in use stays to be erased. Raises Refused."""

    def change(fresh: Machine) -> list[str]:
        fresh.broken_by, fresh.broken_why, fresh.unerased = by, why, _holds_data(fresh)
        fresh.erase_at = None  # once it is repaired, somebody decides anew
        fresh.aside_by, fresh.aside_why, fresh.aside_until = "", "", None
        return [*_move(fresh, "mark_broken"), *BROKEN_COLUMNS, *ASIDE_COLUMNS]

    return _change(machine, change)


def repaired(machine: Machine) -> Machine:
    """It works again: it has yet to be inspected; what may hold somebody's data is erased first. Raises Refused."""

    def change(fresh: Machine) -> list[str]:
        fresh.broken_by, fresh.broken_why, fresh.erase_at = "", "", None
        if fresh.unerased:
            return [*_move(fresh, "repaired_unerased"), *BROKEN_COLUMNS]
        fresh.inspected_at = None
        return [*_move(fresh, "repaired"), *BROKEN_COLUMNS, "inspected_at"]

    return _change(machine, change)


def adopt_running(machine: Machine, *, system: str) -> Machine:
    """It is in use with an OS that Dodai did not install, and nothing of it is wiped. Raises Refused."""

    def change(fresh: Machine) -> list[str]:
        fresh.image_name = system
        return [*_move(fresh, "adopt"), "image_name"]

    return _change(machine, change)


def reserve(machine: Machine, *, owner: str, until: datetime | None) -> Machine:
    """Keep it for somebody, until a time or until that is taken back; "" takes it back. Raises Refused."""
    if until is not None and until <= now():
        raise Refused(_("That time is over: choose a later one."))

    def change(fresh: Machine) -> list[str]:
        _refuse_if_handled(fresh)
        if owner and fresh.state == State.RETIRED:
            raise Refused(_("%(name)s is retired: bring it back first.") % {"name": fresh.name})
        fresh.reserved_for, fresh.reserved_until = owner, until if owner else None
        return ["reserved_for", "reserved_until"]

    return _change(machine, change)


def retire(machine: Machine) -> Machine:
    """End the service of a machine; its history stays, and that its disks are not erased.

    Raises Refused while it is used, protected or worked on.
    """

    def change(fresh: Machine) -> list[str]:
        if fresh.protected:
            raise Refused(_("%(name)s is protected: take the protection off first") % {"name": fresh.name})
        fresh.aside_by, fresh.aside_why, fresh.aside_until = "", "", None
        return [*_move(fresh, "retire"), *ASIDE_COLUMNS, *_let_go(fresh)]

    return _change(machine, change)


def bring_back(machine: Machine) -> Machine:
    """Return a retired machine to service, as one that has yet to be inspected. Raises Refused."""

    def change(fresh: Machine) -> list[str]:
        fresh.inspected_at = None
        return [*_move(fresh, "bring_back"), "inspected_at", *_let_go(fresh)]

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
    """Put it into a cluster, or into none, with an address of its network. Raises Refused while it is worked on.

    Its ports stay where they are: an OS that may run on it keeps its address.
    """

    def change(fresh: Machine) -> list[str]:
        _refuse_if_handled(fresh)
        addressing.join(fresh, cluster, kept=fresh.interfaces.all() if fresh.state not in WITHOUT_OS else ())
        return ["cluster"]

    return _change(machine, change)


def _holds_data(machine: Machine) -> bool:
    """Of somebody, as far as its row tells."""
    return machine.unerased or machine.state in HOLDING_DATA or bool(machine.image_name)


def _way_back(machine: Machine) -> str:
    """The verb that leads what was set aside to what it was. One that is broken still has the words that say why."""
    if machine.broken_why:
        return "take_back_broken"
    if machine.inspected_at is None:
        return "take_back_new"
    return "take_back_used" if machine.image_name else "take_back"


def _let_go(machine: Machine) -> list[str]:
    """It is nobody's any more; its disks are as they are. Returns the columns."""
    machine.unerased = _holds_data(machine)
    addressing.join(machine, None)
    machine.owner, machine.image_name = "", ""
    machine.broken_by, machine.broken_why, machine.erase_at = "", "", None
    return [*OWNED_COLUMNS, *BROKEN_COLUMNS]


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
