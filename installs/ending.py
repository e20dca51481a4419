"""How installs end: well, or through `stopping`, which makes the machine harmless first."""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils.timezone import now

from installs import effects, fallbacks, lifecycle, untouchable, written
from installs.claim import Claim, ClaimLost
from installs.handover import keypair
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Event, Install, Notice, add_alert, add_event, count_repeat
from installs.notices import outbox
from installs.ports import back
from installs.rows import change, lock, ring, save
from machines.models import Machine
from machines.network.base import NetworkError, NetworkRefused
from machines.power.base import NeedsOperator, Power, PowerError, PowerRefused

logger = logging.getLogger(__name__)

STOPPING_MAY_TAKE = timedelta(seconds=90)
PORTS_MAY_TAKE = timedelta(minutes=5)  # each word to a switch takes seconds, and there may be many ports
LOOK_AGAIN = timedelta(seconds=1)
DETAIL_CHARACTERS = 8000
IS_OFF = "The machine is off."
LEFT_ALONE = ("identity", *untouchable.CAUSES)


def stop(
    install_id: int, *, cause: str, error: str, wanted: State = State.FAILED, by: str = "", detail: str = ""
) -> bool:
    """Begin to end an install: no step of it runs any more, no grant is given. False if it had ended already."""
    with transaction.atomic():
        return stop_locked(lock(install_id), cause=cause, error=error, wanted=wanted, by=by, detail=detail)


def stop_locked(
    install: Install, *, cause: str, error: str, wanted: State = State.FAILED, by: str = "", detail: str = ""
) -> bool:
    """As `stop`, for a row that the caller has locked."""
    if install.state not in lifecycle.GOING_ON:
        return False
    steps = METHODS[install.method].steps
    change(
        install, "stop", by=by, text=error, wanted_end=wanted, cause=cause, error=error,
        error_detail=detail[-DETAIL_CHARACTERS:], failed_step=steps[min(install.step, len(steps) - 1)],
        power_off_to_stop=_must_be_off(install, cause), owner="", lease_until=None, look_again_at=None, awaited="",
        quiet_until=None, silence=None, tries=0, operator_task="", give_up_at=now() + STOPPING_MAY_TAKE,
    )  # fmt: skip
    ring()
    return True


def finish(install: Install) -> None:
    """The last step is done. The caller has locked the row."""
    said = install.events.filter(kind=Event.Kind.MACHINE, name="installed").first()
    change(
        install, "finish", ended_at=now(), confirmed_at=said.at if said else None, give_up_at=None, look_again_at=None,
        owner="", lease_until=None, phase="", operator_task="", silence=None, quiet_until=None,
        confirmed_by=said.by if said else "",
    )  # fmt: skip
    outbox.note_end(install, Notice.Kind.INSTALLED)
    machine = _release(install)
    effects.finished(install, machine)
    effects.save(install, machine)


def end(claim: Claim) -> None:
    """One look at an install that is stopping: switch the machine off, read it back, and only then end."""
    install = claim.install
    if not install.power_off_to_stop:
        _ended(claim, left_behind="The machine was left as it is.")
        return
    try:
        if claim.power.state() == Power.OFF:
            _ended(claim, left_behind=IS_OFF)
            return
        claim.power.off()
    except NeedsOperator:
        _ended(claim, left_behind="The machine may no longer write. It has no BMC: switch it off by hand.")
        return
    except PowerRefused as exc:
        _ended(claim, left_behind=f"Could not verify that the machine is off ({exc}).")
        return
    except PowerError as exc:
        if install.give_up_at and install.give_up_at < now():
            _ended(claim, left_behind=f"Could not verify that the machine is off ({exc}).")
            return
    except ClaimLost:
        raise
    except Exception as exc:
        logger.exception("install %s: stopping", install.pk)
        if install.give_up_at and install.give_up_at < now():
            _ended(claim, left_behind=f"Could not verify that the machine is off ({type(exc).__name__}).")
            return
    if install.give_up_at and install.give_up_at < now():
        _ended(claim, left_behind="The BMC took the command, but the machine did not go off: have a look at it.")
        return
    _look_again(claim)


def receive_late(install: Install, name: str, *, address: str | None = None) -> str:
    """An ended install's machine speaks: only the OS's own call still tells something. The row is locked."""
    if name != "installed":
        return "ended"
    if install.state == State.INSTALLED:
        return _confirm(install, address)
    if not install.os_seen_late:
        save(install, os_seen_late=True)
    return "late"


def _confirm(install: Install, address: str | None) -> str:
    """The call of an OS that was known by its second witness only, or once more. It moves nothing else."""
    earlier = install.events.filter(kind=Event.Kind.MACHINE, name="installed").first()
    if earlier:
        count_repeat(earlier)
        return "duplicate"
    said = add_event(install, Event.Kind.MACHINE, "installed", address=address)
    save(install, confirmed_at=said.at)
    return "late"


def _must_be_off(install: Install, cause: str) -> bool:
    """Whether something that may still write could run: a ramdisk of ours that has not asked for its restart.

    A machine whose identity was wrong is left alone: our BMC may be another machine's. So is one that nobody may touch.
    """
    if not install.boots.exists() or (cause in LEFT_ALONE and install.granted_at is None):
        return False
    return not install.events.filter(kind=Event.Kind.MACHINE, name="install_reboot").exists()


def _look_again(claim: Claim) -> None:
    with transaction.atomic():
        install = lock(claim.install.pk)
        claim.check(install)
        save(install, owner="", lease_until=None, look_again_at=now() + LOOK_AGAIN)


def _ports_are_back(claim: Claim) -> tuple[bool, str]:
    """Whether no more is to be tried, and what somebody has to know of ports that could not be put back."""
    install = claim.install
    if not back.has_moved(install):
        return True, ""
    claim.hold(PORTS_MAY_TAKE)
    try:
        back.put_back(install, check=claim.lock)
    except NetworkError as exc:
        may_help = not isinstance(exc, NetworkRefused) and install.give_up_at and install.give_up_at > now()
        return not may_help, f"Its switch ports could not be put back ({exc})."
    return True, ""


def _ended(claim: Claim, *, left_behind: str) -> None:
    is_over, of_ports = _ports_are_back(claim)
    if not is_over:
        _look_again(claim)
        return
    with transaction.atomic():
        install = lock(claim.install.pk)
        claim.check(install)
        if of_ports:
            add_alert(install, "ports", f"{of_ports} {back.where_they_are(install)}".strip())
        event = "end_cancelled" if install.wanted_end == State.CANCELLED else "end_failed"
        if install.image:
            left_behind += _of_disks(install)
        change(
            install, event, text=left_behind, ended_at=now(), left_behind=left_behind[:255], give_up_at=None,
            look_again_at=None, owner="", lease_until=None,
        )  # fmt: skip
        machine = _release(install)
        effects.failed(install, machine)
        effects.save(install, machine)
        keypair.forget(install)
        fallbacks.go_on(install, machine)
        outbox.note_end(install, Notice.Kind.CANCELLED if event == "end_cancelled" else Notice.Kind.FAILED)


def _of_disks(install: Install) -> str:
    if not written.may_be_written(install):
        return " No disk was written."
    return "" if install.granted_at else " The operator may have written its disks."


def _release(install: Install) -> Machine:
    machine = Machine.objects.select_for_update().get(pk=install.machine_id)
    machine.handled_by = ""
    return machine
