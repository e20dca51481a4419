"""Reads the power of all machines, again and again: one process, a few BMCs at a time, never two calls to one.

Each reading is a process of its own for some milliseconds (see power/child.py). One that takes longer waits for its
BMC and costs nothing here, so dead BMCs take no place from the others. BMCs are known to say "off" for a moment that
never was: on becomes off, or off on, once several readings in a row say so. Good for some hundred machines; a thousand
want a client that keeps its sessions.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils.timezone import now

from machines import actions
from machines.models import Machine
from machines.power import driver_for
from machines.power.base import Power, PowerError

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
WHILE_HANDLED = timedelta(seconds=3)
LONGEST_PAUSE = 8 * EVERY
AT_ONCE = 8  # readings that may still be at work in here
MOST_WAITING = 64  # readings that only wait for BMCs, for seven seconds at most
AT_WORK_SECONDS = 0.5
SAMPLES = 3  # readings in a row for a change between on and off
BETWEEN_SAMPLES = timedelta(seconds=1)


@dataclass(frozen=True)
class _Reading:
    machine: Machine
    future: Future[Power]
    begun: float = field(default_factory=time.monotonic)

    @property
    def is_at_work(self) -> bool:
        return time.monotonic() - self.begun < AT_WORK_SECONDS


class Poller:
    """Keeps some readings under way. Only the thread that calls `turn` touches the database."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE + MOST_WAITING)
        self._under_way: dict[int, _Reading] = {}
        self._failures: dict[int, int] = {}
        self._last: dict[int, Power] = {}
        self._doubts: dict[int, tuple[Power, int]] = {}

    def turn(self) -> int:
        """Store what has been read and start what is due. Returns how many readings were stored."""
        stored = self._store_finished()
        if (room := self._room()) > 0:
            due = Machine.objects.to_poll().filter(power_poll_at__lte=now()).exclude(pk__in=self._under_way)
            for machine in due.order_by("power_poll_at")[:room]:
                self._under_way[machine.pk] = _Reading(machine, self._pool.submit(_reading(machine)))
        return stored

    def close(self) -> None:
        """Wait for no reading: a dead BMC would hold up the end of the process for seconds."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _room(self) -> int:
        at_work = sum(reading.is_at_work for reading in self._under_way.values())
        return min(AT_ONCE - at_work, AT_ONCE + MOST_WAITING - len(self._under_way))

    def _store_finished(self) -> int:
        finished = [pk for pk, reading in self._under_way.items() if reading.future.done()]
        for pk in finished:
            reading = self._under_way.pop(pk)
            self._store(reading.machine, reading.future)
        return len(finished)

    def _store(self, machine: Machine, future: Future[Power]) -> None:
        known = self._known(machine)
        try:
            state = future.result()
        except PowerError as exc:
            self._doubts.pop(machine.pk, None)
            failures = self._failures[machine.pk] = self._failures.get(machine.pk, 0) + 1
            pause = min(EVERY * 2 ** (failures - 1), LONGEST_PAUSE)
            actions.record_power(machine, Power.UNKNOWN, error=str(exc), next_in=pause)
            return
        self._failures.pop(machine.pk, None)
        if self._is_believed(machine.pk, state, known):
            actions.record_power(machine, state, next_in=WHILE_HANDLED if machine.handled_by else EVERY)
        else:
            Machine.objects.filter(pk=machine.pk).update(power_poll_at=now() + BETWEEN_SAMPLES)

    def _known(self, machine: Machine) -> Power | None:
        """Whether it was on or off when that was last known. A power command may have changed it meanwhile."""
        stored = Machine.objects.filter(pk=machine.pk).values_list("power_state", flat=True).first()
        if stored in (Power.ON, Power.OFF):
            self._last[machine.pk] = Power(stored)
        return self._last.get(machine.pk)

    def _is_believed(self, machine_id: int, state: Power, known: Power | None) -> bool:
        """At once where it is what was known; a change only from the last of several that say the same."""
        said, times = self._doubts.pop(machine_id, (state, 0))
        times = times + 1 if said == state else 1
        if known is None or state in (known, Power.UNKNOWN) or times >= SAMPLES:
            return True
        self._doubts[machine_id] = (state, times)
        return False


def _reading(machine: Machine) -> Callable[[], Power]:
    """Everything the database has to give is taken here; the call itself touches none."""
    try:
        driver = driver_for(machine.bmc.endpoint())
    except PowerError as exc:
        refusal = exc

        def refuse() -> Power:
            raise refusal

        return refuse
    return driver.state
