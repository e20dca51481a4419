"""A room of machines with Dodai beside it, in virtual time: the real models, engine, listener and sweep.

Workers are greenlets, so that one may freeze or die between any two things it does, while all else goes on.
Nothing is ever committed, so no ring reaches the queue: workers look when the schedule says so, which is every way
in which rings may be lost, doubled or late.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from django.http import HttpResponse
from django.utils import timezone
from greenlet import getcurrent, greenlet

from installs import claim, flow, jobs, sweep, witness
from installs.claim import Claim
from installs.models import Install
from machines import actions as machine_actions
from machines import jobs as machine_jobs
from machines.models import Beat, Interface, Machine
from machines.power.base import BmcEndpoint, Power, PowerDriver
from tests import installing, manual
from tests.guarantees.asked import Asked, Writes
from tests.guarantees.hardware import Bmc, Hardware, Message, call

START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # the night in which Europe's clocks are put forward
MACHINES = 3
AT_ONCE = 2  # installs that may go on at this site
TURNS_A_MINUTE = 60
DEADLINES = ("quiet_until", "give_up_at")
LIVE_TIMES = Asked(
    lambda: Install.objects.live().order_by().values("pk", "state", *DEADLINES, "look_again_at", "lease_until")
)


class Clock:
    """The wall clock and the seconds since boot; `step` moves the one without the other."""

    def __init__(self) -> None:
        self.wall, self.uptime = START, 100_000.0

    def go_on(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.uptime += seconds

    def step(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)


class Worker:
    """One run of a job. It stops at its `stops_at`th pause, for good or until `wake`."""

    def __init__(self, job: Callable[[], object], stops_at: int = 0) -> None:
        self._run, self._left = greenlet(self._all_of(job)), stops_at
        self.error: Exception | None = None

    def go_on(self) -> None:
        self._run.switch()
        if self.error:
            raise self.error

    @property
    def is_over(self) -> bool:
        return self._run.dead

    def pause(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._run.parent.switch()

    def _all_of(self, job: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            _workers[getcurrent()] = self
            try:
                job()
            except Exception as exc:  # noqa: BLE001 - raised again by whoever let it go on
                self.error = exc
            finally:
                _workers.pop(getcurrent(), None)

        return run


_workers: dict[Any, Worker] = {}  # by their greenlets; the watchdog is none of them


class Room:
    def __init__(self, writes: Writes) -> None:
        self.clock, self.writes = Clock(), writes
        self.machines: list[Hardware] = []
        self.frozen: list[Worker] = []
        self.held: list[Message] = []
        self.granted: Callable[[Message], None] = lambda message: None
        self.began: Callable[[Hardware, str, Claim | None], None] = lambda machine, what, claim: None
        self.claims: dict[Any, Claim | None] = {}  # what each process works on
        self.applied: dict[tuple[int, str], int] = {}
        self.connect: Callable[[Hardware], bytes] = lambda machine: machine.greeting().encode()
        self.seen: set[int] = set()
        """Attempts whose OS was seen by its sign."""
        self.has_lost_workers = False

    @property
    def by_name(self) -> dict[str, Hardware]:
        return {machine.name: machine for machine in self.machines}

    # What Dodai's processes do.

    def work(self, times: int = 1) -> None:
        for _ in range(times):
            Worker(jobs.look).go_on()

    def work_until_idle(self) -> None:
        """As many jobs as are due now; steps that are to be looked at again later wait for their time."""

        def work() -> None:
            flow.begin_next()
            while flow.run_due():
                pass

        Worker(work).go_on()

    def work_and_stop(self, at: int, *, dies: bool) -> None:
        worker = Worker(jobs.look, stops_at=at)
        self.has_lost_workers = True
        worker.go_on()
        if not worker.is_over and not dies:
            self.frozen.append(worker)

    def power_work(self) -> None:
        Worker(machine_jobs.run_power_commands).go_on()

    def wake(self, number: int) -> None:
        worker = self.frozen[number]
        worker.go_on()
        if worker.is_over:
            self.frozen.remove(worker)

    def watch(self) -> None:
        """One turn of the watchdog, which has not been away."""
        self.clock.go_on(1)
        moment = self.clock.wall - timedelta(seconds=1)
        values = {"at": moment, "boot_seconds": self.clock.uptime - 1, "boot_id": "room"}
        if not Beat.objects.filter(pk=sweep.WATCHDOG).update(**values):
            Beat.objects.create(name=sweep.WATCHDOG, **values)
        sweep.sweep()

    def down(self, seconds: float) -> None:
        """Nothing of Dodai runs: its workers are gone, and it begins again."""
        self.frozen.clear()
        self.clock.go_on(seconds)
        sweep.started()
        sweep.sweep()
        self.catch_up()

    def step_clock(self, seconds: float) -> None:
        """The wall clock is set, and the watchdog turns within its second."""
        self.clock.step(seconds)
        sweep.sweep()
        self.catch_up()

    def turn(self) -> None:
        """A turn of the watchdog, however long it is since its last one."""
        sweep.sweep()

    def poll(self) -> None:
        """Two readings of each machine's power, far enough apart to be believed."""
        for seconds in (0, 7):
            self.clock.go_on(seconds)
            for row in Machine.objects.all():
                machine = self.by_name[row.name]
                if machine.bmc in ("well", "idle"):
                    machine_actions.record_power(row, machine.power, next_in=timedelta(seconds=3))
                else:
                    machine_actions.record_power(row, Power.UNKNOWN, error="no answer", next_in=timedelta(seconds=30))

    def pass_time(self, seconds: float, *, with_workers: bool) -> None:
        """Let time pass while Dodai runs. The watchdog turns where something is due, and then until nothing is late."""
        end = self.clock.uptime + seconds
        while self.clock.uptime < end:
            self.clock.go_on(min(self._until_something(seconds / 8), end - self.clock.uptime))
            self.watch()
            if with_workers:
                self.work_until_idle()
            self.catch_up()

    def catch_up(self) -> None:
        """At most a minute of the watchdog alone, until nothing is late. AssertionError where that is not enough."""
        for _ in range(TURNS_A_MINUTE):
            if not self.late():
                return
            self.watch()
        raise AssertionError(f"60 s after its deadline and still going on: {self.late()}")

    def late(self) -> list[tuple[int, str]]:
        moment = self.clock.wall
        return [
            (live["pk"], live["state"]) for live in LIVE_TIMES()
            if any(live[end] and live[end] < moment for end in ("quiet_until", "give_up_at"))
        ]  # fmt: skip

    def _until_something(self, least: float) -> float:
        """Seconds until the next deadline, or until a worker or a lease is due, but then not less than `least`."""
        pauses = [least * 8]
        for live in LIVE_TIMES():
            for name, at in live.items():
                if isinstance(at, datetime):
                    pause = (at - self.clock.wall) / timedelta(seconds=1)
                    pauses.append(pause if name in DEADLINES else max(pause, least))
        return max(min(pause for pause in pauses if pause > 0), 1)

    # What the network does.

    def send(self, message: Message, fate: str) -> None:
        if fate == "held":
            self.held.append(message)
        if fate in ("held", "lost"):
            return
        for _ in range(2 if fate == "twice" else 1):
            answer = self.deliver(message)
        if fate != "answer lost":
            message.said(answer)

    def deliver(self, message: Message) -> HttpResponse:
        answer = call(message.path, token=message.token, body=message.body)
        if b"GRANTED=yes" in answer.content:
            self.granted(message)
        if b'"applied"' in answer.content and "progress" not in message.path:
            said = (message.attempt, message.path.split("/")[1] + message.path.split("/")[-1][:16])
            self.applied[said] = self.applied.get(said, 0) + 1
        return answer

    def greeting(self, address: str) -> bytes:
        """What the SSH server at this address says, to a worker that may stop before or after it was told."""
        pause()
        [machine] = [each for each in self.machines if each.address == address]
        said = self.connect(machine)
        if b"dodai-" in said and machine.runs is machine.disk:
            self.seen.add(machine.disk_of)
        pause()
        return said

    # How the parts are put together.

    def driver_for(self, endpoint: BmcEndpoint) -> PowerDriver:
        return Bmc(endpoint, self.by_name[endpoint.machine], self._call_begins, lambda *_: pause())

    def _call_begins(self, machine: Hardware, what: str) -> None:
        self.began(machine, what, self.claims.get(getcurrent()))
        pause()


def pause() -> None:
    """A worker may stop here."""
    worker = _workers.get(getcurrent())
    if worker:
        worker.pause()


@contextmanager
def opened() -> Iterator[Callable[[], Room]]:
    """A function that furnishes one room after another, each as the first; leave a room by `closed`."""
    rows = [installing.make_machine(f"node{n}", number=n) for n in range(1, MACHINES + 1)]
    for row in rows:
        Interface.objects.filter(machine=row).update(address=f"{address_of(row)}/24")
    installing.make_image()
    manual.with_fallbacks(name="chained")
    manual.make_image()
    facts = [installing.facts_of(row, "") for row in rows]
    place, writes = SimpleNamespace(room=None), Writes()

    def furnish() -> Room:
        place.room = Room(writes)
        place.room.machines = [
            Hardware(row.name, said["interfaces"][0]["mac"], said, address_of(row))
            for row, said in zip(rows, facts, strict=True)
        ]
        return place.room

    logging.disable()  # else most of the time goes there
    try:
        with _parts(lambda: place.room), writes.watched():
            yield furnish
    finally:
        logging.disable(logging.NOTSET)


def address_of(row: Machine) -> str:
    return f"198.51.100.{row.name.removeprefix('node')}"


@contextmanager
def _parts(room: Callable[[], Room]) -> Iterator[None]:
    real_claim, real_store = flow._claim, flow._store

    def claimed() -> Claim | None:
        found = real_claim()
        room().claims[getcurrent()] = found
        pause()
        return found

    def stored(*args: Any) -> None:
        pause()
        real_store(*args)

    def uptime() -> float:
        return room().clock.uptime

    now = SimpleNamespace(now=lambda tz=None: room().clock.wall.astimezone(tz))
    with (
        mock.patch.object(timezone, "datetime", now),
        mock.patch.object(sweep, "boot_seconds", uptime),
        mock.patch.object(sweep, "boot_id", return_value="room"),
        mock.patch.object(flow, "_claim", claimed),
        mock.patch.object(flow, "_store", stored),
        mock.patch.object(flow, "PARALLEL_INSTALLS", AT_ONCE),
        mock.patch.object(claim, "driver_for", lambda endpoint: room().driver_for(endpoint)),
        mock.patch.object(machine_jobs, "driver_for", lambda endpoint: room().driver_for(endpoint)),
        mock.patch.object(witness, "greeting", lambda address: room().greeting(address)),
        mock.patch.object(jobs, "close_old_connections"),  # all is one transaction, taken back at the end
        mock.patch.object(machine_jobs, "close_old_connections"),
        mock.patch("installs.ramdisk.latest", return_value=installing.RAMDISK),
    ):
        yield
