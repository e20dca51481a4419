"""What workers do for machines. A job carries nothing: it looks for what is due."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now

from machines import actions, bmc_test, doorbell, own_hosts, reading_ports
from machines.models import Machine, PowerCommand
from machines.power import driver_for
from machines.power.base import Power, PowerDriver, PowerError, PowerRefused
from machines.power.child import only_for

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
SOFT_MAY_TAKE = timedelta(seconds=60)
LOOK_AGAIN = timedelta(seconds=2)
AFTER_A_COMMAND = timedelta(seconds=2)
READING = ("status", bmc_test.ACTION)
LIVE = (PowerCommand.State.ASKED, PowerCommand.State.RUNNING)


class TakenOver(Exception):
    """The command is no longer this worker's: its lease ran out, or an install took the machine."""


def run_power_commands() -> None:
    """Carry out one due power command, or one more look at it."""
    close_old_connections()
    command = _claim()
    if command is None:
        return
    try:
        _work_on(command)
    except TakenOver:
        logger.info("%s: power %s was taken over", command.machine.name, command.action)


def read_ports() -> None:
    """Read the ports of the switches that somebody wants read."""
    close_old_connections()
    reading_ports.run_due()


def ring_for_due() -> None:
    """Have a worker look again at power commands and switches whose time has come."""
    if _due().exists():
        doorbell.ring(actions.JOB)
    reading_ports.ring_for_due()


def _work_on(command: PowerCommand) -> None:
    try:
        bmc = getattr(command.machine, "bmc", None)
        if bmc is None:
            raise PowerRefused(f"{command.machine.name} has no power driver: choose one in the inventory")
        if command.action == bmc_test.ACTION:
            _end(command, PowerCommand.State.DONE, bmc_test.carry_out(bmc, lambda: _renew(command)))
        else:
            _carry_out(command, driver_for(bmc.endpoint()))
    except TakenOver:
        raise
    except PowerError as exc:
        _end(command, PowerCommand.State.FAILED, str(exc))
    except DatabaseError:
        raise  # it is taken up again once its lease runs out
    except Exception as exc:  # else it would be tried for ever, and no other command let through
        logger.exception("%s: power %s", command.machine.name, command.action)
        words = f"a fault in Dodai itself ({type(exc).__name__}): see the worker's log"
        _end(command, PowerCommand.State.FAILED, words)


def _due() -> QuerySet[PowerCommand]:
    moment = now()
    free = Q(lease_until=None) | Q(lease_until__lt=moment)
    return PowerCommand.objects.filter(free, state__in=LIVE, again_at__lte=moment).order_by("again_at")


def _claim() -> PowerCommand | None:
    with transaction.atomic():
        locking = _due().select_for_update(
            of=("self",), skip_locked=connection.features.has_select_for_update_skip_locked
        )
        command: PowerCommand | None = locking.select_related("machine", "machine__bmc__credentials").first()
        if command is None:
            return None
        command.lease_until = now() + LEASE
        command.state = PowerCommand.State.RUNNING
        command.save(update_fields=["lease_until", "state"])
        return command


def _carry_out(command: PowerCommand, power: PowerDriver) -> None:
    with _renewed(command):
        match command.action:
            case "status":
                _end(command, PowerCommand.State.DONE, f"power is {_read(command, power)}")
            case "on":
                power.on()
                _end(command, PowerCommand.State.DONE, f"power is {_read(command, power)}")
            case "off":
                power.off()
                _end(command, PowerCommand.State.DONE, f"power is {_read(command, power)}")
            case "reset":
                power.reset()
                _end(command, PowerCommand.State.DONE, "reset")
            case "soft":
                _shut_down(command, power)


def _shut_down(command: PowerCommand, power: PowerDriver) -> None:
    """Ask the OS once, look again until it is off, and switch it off hard when it takes too long."""
    if _read(command, power) == Power.OFF:
        how = "was switched off hard: its OS did not shut down" if _is_late(command) else "has shut down"
        _end(command, PowerCommand.State.DONE, how)
        return
    if command.hard_at is None:
        power.soft_off()
        command.hard_at = now() + SOFT_MAY_TAKE
    elif _is_late(command):
        with _renewed(command):
            power.off()
    _store(command, again_at=now() + LOOK_AGAIN, lease_until=None, hard_at=command.hard_at)


@contextmanager
def _renewed(command: PowerCommand) -> Iterator[None]:
    """For as long as the lease lasts: what a worker was about to send that froze for longer than that never leaves."""
    with only_for(LEASE.total_seconds()):
        _renew(command)
        yield


def _renew(command: PowerCommand) -> None:
    """Right before an effect: the command must still be this worker's, and the machine in nobody's hands."""
    lease = now() + LEASE
    _store(command, lease_until=lease)
    machine = Machine.objects.get(pk=command.machine_id)
    if command.action not in READING and (machine.handled_by or machine.protected):
        raise PowerRefused(
            f"{machine.name} is {'in the hands of ' + machine.handled_by if machine.handled_by else 'protected'}"
        )
    if command.action not in READING and (own := own_hosts.why(machine)):
        raise PowerRefused(own)


def _store(command: PowerCommand, **fields: Any) -> None:
    """Raises TakenOver, and stores nothing, unless the row is still as this worker claimed it."""
    mine = PowerCommand.objects.filter(pk=command.pk, state=PowerCommand.State.RUNNING, lease_until=command.lease_until)
    if not mine.update(**fields):
        raise TakenOver
    for name, value in fields.items():
        setattr(command, name, value)


def _is_late(command: PowerCommand) -> bool:
    return command.hard_at is not None and command.hard_at < now()


def _read(command: PowerCommand, power: PowerDriver) -> Power:
    state = power.state()
    actions.record_power(command.machine, state, next_in=AFTER_A_COMMAND)
    return state


def _end(command: PowerCommand, state: PowerCommand.State, message: str) -> None:
    _store(command, state=state, message=message[:500], ended_at=now(), lease_until=None)
    doorbell.tell_pages(machine=command.machine_id)
    logger.info("%s: power %s asked by %s: %s", command.machine.name, command.action, command.asked_by, message)
