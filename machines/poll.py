"""Reads the power of all machines, again and again: one process, a few BMCs at a time, never two calls to one.

Each reading is a process of its own for some milliseconds (see power/child.py), so a dead or hostile BMC costs
its own slot and nothing else. Good for some hundred machines; a thousand want a client that keeps its sessions.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
AT_ONCE = 8


class Poller:
    """Keeps up to AT_ONCE readings under way. Only the thread that calls `turn` touches the database."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._under_way: dict[int, tuple[Machine, Future[Power]]] = {}
        self._failures: dict[int, int] = {}

    def turn(self) -> int:
        """Store what has been read and start what is due. Returns how many readings were stored."""
        stored = self._store_finished()
        room = AT_ONCE - len(self._under_way)
        if room > 0:
            due = Machine.objects.to_poll().filter(power_poll_at__lte=now()).exclude(pk__in=self._under_way)
            for machine in due.order_by("power_poll_at")[:room]:
                self._under_way[machine.pk] = (machine, self._pool.submit(_reading(machine)))
        return stored

    def close(self) -> None:
        """Wait for no reading: a dead BMC would hold up the end of the process for seconds."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _store_finished(self) -> int:
        finished = [(pk, pair) for pk, pair in self._under_way.items() if pair[1].done()]
        for pk, (machine, future) in finished:
            del self._under_way[pk]
            self._store(machine, future)
        return len(finished)

    def _store(self, machine: Machine, future: Future[Power]) -> None:
        try:
            state = future.result()
        except PowerError as exc:
            failures = self._failures[machine.pk] = self._failures.get(machine.pk, 0) + 1
            pause = min(EVERY * 2 ** (failures - 1), LONGEST_PAUSE)
            actions.record_power(machine, Power.UNKNOWN, error=str(exc), next_in=pause)
            return
        self._failures.pop(machine.pk, None)
        actions.record_power(machine, state, next_in=WHILE_HANDLED if machine.handled_by else EVERY)


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
