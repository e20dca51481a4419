"""What time does to allocations: what failed is replaced, what is whole ends, what is not to be is given back.

The rows are the truth. A turn is one transaction that locks the allocation and looks at everything anew; any process
may take it, any number at once, and one that dies in between has done nothing.
"""

import logging
from contextlib import suppress

from django.db import DatabaseError, connection, transaction
from django.utils.translation import override

from installs import actions
from installs.allocation import rows
from installs.allocation.lifecycle import LIVE, Part, State
from installs.lifecycle import ENDED
from installs.lifecycle import State as InstallState
from installs.models import Allocation, AllocationMachine, Install
from machines.actions import Refused as MachineRefused
from machines.lifecycle import State as MachineState
from machines.models import Machine

logger = logging.getLogger(__name__)


def take_all() -> None:
    """Bring every allocation as far as it may go now."""
    for number in Allocation.objects.filter(state__in=sorted(LIVE)).values_list("pk", flat=True):
        try:
            take(number)
        except DatabaseError:
            raise
        except Exception:  # of this one alone: the others, and all deadlines, go on
            logger.exception("allocation %s: its turn", number)


def take(number: int) -> None:
    """One turn. Installs are locked before their machines, so what is to be ended is ended by itself."""
    with transaction.atomic(), override("en"):
        if (allocation := _locked(number)) and allocation.state == State.UNDOING:
            _cancel(allocation)
    with transaction.atomic(), override("en"):
        if allocation := _locked(number):
            _turn(allocation)


def _locked(number: int) -> Allocation | None:
    """None where it has ended, or another process has its turn."""
    found = Allocation.objects.filter(pk=number, state__in=sorted(LIVE)).select_related("image", "cluster", "type")
    skip = connection.features.has_select_for_update_skip_locked
    return found.select_for_update(of=("self",), skip_locked=skip).first()


def _turn(allocation: Allocation) -> None:
    parts = list(allocation.machines.select_related("machine", "install"))
    if allocation.state == State.WORKING and not _has_news(allocation, parts):
        return
    # All at once, and in the order in which everybody locks them.
    machines = Machine.objects.filter(pk__in=[part.machine_id for part in parts]).order_by("pk")
    list(machines.select_for_update(of=("self",), no_key=True).values_list("pk"))
    for part in parts:
        part.allocation = allocation
        if part.state == Part.WORKING:
            _look_at(part, is_wanted=allocation.state == State.WORKING)
    if allocation.state == State.WORKING:
        _go_on(allocation, parts)
    else:
        _undo(allocation, parts)


def _has_news(allocation: Allocation, parts: list[AllocationMachine]) -> bool:
    """Whether an attempt has ended, or there are fewer under way than ought to be."""
    working = [part for part in parts if part.state == Part.WORKING]
    enough = _count(parts, Part.READY, Part.WORKING) >= allocation.count or not _count(parts, Part.HELD)
    return not working or not enough or any(part.install is None or not part.install.is_live for part in working)


def _cancel(allocation: Allocation) -> None:
    """End what is under way, but for what gives machines back."""
    working = allocation.machines.filter(state=Part.WORKING).exclude(install__method="release")
    for part in working.select_related("install"):
        if part.install is not None:
            with suppress(actions.Refused):  # it is being ended, or has ended a moment ago
                actions.cancel(part.install, by=str(allocation))


def _look_at(part: AllocationMachine, *, is_wanted: bool) -> None:
    """Store what came of its attempt, once that has ended."""
    install = part.install
    if install is None or install.state not in ENDED:
        return
    if install.method == "release":
        rows.end(part, *_given_back(install))
        return
    if install.state == InstallState.INSTALLED:
        rows.end(part, Part.READY)
        return
    words = f"{install.cause}: {install.error}"
    machine = Machine.objects.get(pk=part.machine_id)
    was_handed_over = install.method == "hand-over" and machine.state in (MachineState.FREE, MachineState.WARM)
    if not (is_wanted and was_handed_over and install.state == InstallState.FAILED and _begin(part, words)):
        rows.end(part, Part.FAILED, part.why or words)


def _go_on(allocation: Allocation, parts: list[AllocationMachine]) -> None:
    spares = [part for part in parts if part.state == Part.HELD]
    while _count(parts, Part.READY, Part.WORKING) < allocation.count and spares:
        spare = spares.pop(0)
        if not _begin(spare, "in the place of one that failed"):
            rows.end(spare, Part.FAILED, spare.why)
    ready, working = _count(parts, Part.READY), _count(parts, Part.WORKING)
    if allocation.all_or_nothing and ready + working < allocation.count:
        rows.change(allocation, "give_up", why_ended=_why(parts))  # the next turn begins with that
    elif not working:
        _let_go(parts)
        event = "finish" if ready >= allocation.count else "fall_short" if ready else "end_failed"
        rows.change(allocation, event, why_ended=_why(parts))


def _undo(allocation: Allocation, parts: list[AllocationMachine]) -> None:
    """What was under way is being ended; a machine that is ready goes back only where it was all or nothing."""
    _let_go(parts)
    for part in parts:
        if part.state == Part.READY and allocation.all_or_nothing:
            _give_back(part)
    if not _count(parts, Part.WORKING):
        was_cancelled = allocation.why_ended.startswith("cancelled by")
        rows.change(allocation, "end_cancelled" if was_cancelled else "end_failed")


def _give_back(part: AllocationMachine) -> None:
    """Once; and only what has been in no other hands since, as it may be somebody else's by now."""
    install = part.install
    if install is None or install.method == "release":
        return
    later = part.machine.installs.filter(pk__gt=install.pk).exclude(method__in=("inspect", "move")).first()
    try:
        if later is not None:
            raise actions.Refused(f"{later} came after {install}.")
        release = actions.start_operation(part.machine, "release", by=str(part.allocation))
        rows.save(part, state=Part.WORKING, install=release)
    except actions.Refused as exc:
        rows.save(part, why=f"could not be given back: {exc}")


def _given_back(release: Install) -> tuple[Part, str]:
    """What came of its release. Where the site keeps it, say, it stays whose it is."""
    if release.state == InstallState.INSTALLED:
        return Part.GIVEN_BACK, ""
    return Part.READY, f"could not be given back: {release.error}"


def _begin(part: AllocationMachine, why: str) -> bool:
    """Install its machine. False, with the reason in `part.why`, where that cannot be."""
    try:
        with transaction.atomic():
            rows.install(part)
            rows.save(part, why=why)
        return True
    except (actions.Refused, MachineRefused) as exc:
        part.refresh_from_db(fields=["state", "install"])
        part.why = f"{why.rstrip('.')}. {exc}"
        return False


def _let_go(parts: list[AllocationMachine]) -> None:
    for part in parts:
        if part.state == Part.HELD:
            rows.end(part, Part.LET_GO)


def _why(parts: list[AllocationMachine]) -> str:
    failed = [f"{part.machine.name} ({part.why})" for part in parts if part.state == Part.FAILED]
    return f"Failed: {'; '.join(failed)}" if failed else ""


def _count(parts: list[AllocationMachine], *states: Part) -> int:
    return sum(part.state in states for part in parts)
