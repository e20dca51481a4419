"""Waves: whatever happens, in whatever order, no more machines are wiped than their rules allow (T26)."""

import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from unittest import mock

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from installs import ending, flow
from installs.lifecycle import State as InstallState
from installs.models import Image, Install, Notice, NoticeTarget, Wave, WaveMachine, WaveMachineQuerySet
from installs.rows import lock
from installs.waves import asking, turns, windows
from installs.waves.asking import Rules
from installs.waves.lifecycle import ENDED, State
from machines.models import Machine
from tests import installing, scenes
from tests.guarantees.tally import Tally, is_long, rounds

pytestmark = pytest.mark.django_db

SAYS = "A wave begins no more than a part, nothing after N failures, outside its window, or of a changed plan"
MACHINES, STEPS = 7, 25
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PEOPLE = {"pause": asking.pause, "resume": asking.resume, "cancel": asking.cancel}
CHANGES = {
    "protected": {"protected": True}, "set aside": {"state": "aside"}, "in use": {"state": "in_use"},
    "serial number": {"serial": "ANOTHER"},
}  # fmt: skip


class Killed(BaseException):
    """The process that took a turn died in the middle of it."""


def _facts(machine: Machine) -> tuple[object, ...]:
    """What people here change."""
    return machine.protected, machine.state, machine.serial, [disk.serial for disk in machine.disks.all()]


class Rollout(RuleBasedStateMachine):
    """A wave over MACHINES machines, and everybody who may have to do with it."""

    finished = 0

    def __init__(self) -> None:
        super().__init__()
        self._undone = transaction.atomic()
        self._undone.__enter__()
        self.now, self.changed, self.seen = NOON, set(), {}

    def teardown(self) -> None:
        try:
            self._must_end()
        finally:
            transaction.set_rollback(True)
            self._undone.__exit__(None, None, None)
        Rollout.finished += 1

    @initialize(canaries=st.integers(1, 3), part=st.integers(1, 4), stop_at=st.integers(1, 3), window=st.booleans())
    def propose(self, canaries: int, part: int, stop_at: int, window: bool) -> None:
        times = (time(22), time(5)) if window else (None, None)
        machines = [installing.make_machine(f"n{number}", number=number) for number in range(1, MACHINES + 1)]
        self.rules = Rules(canaries, part, stop_at, *times)
        self.number = asking.propose(machines, installing.make_image(), self.rules, by="ann").pk

    # What people do.

    @rule(who=st.sampled_from(["approver", "approver", "with an old page"]))
    def approve(self, who: str) -> None:
        digest = asking.plans(self.wave).digest if who == "approver" else "0" * 64
        try:
            asking.approve(self.wave, approved=digest, by="bea")
        except asking.Refused:
            return
        assert who == "approver"
        self.changed.clear()  # it was all seen
        self.seen = {row.machine_id: _facts(row.machine) for row in self.rows}

    @rule(what=st.sampled_from(["pause", "pause", "resume", "resume", "cancel"]))
    def press(self, what: str) -> None:
        with contextlib.suppress(asking.Refused):
            PEOPLE[what](self.wave, by="ann")

    @rule(which=st.integers(0, MACHINES - 1), how=st.sampled_from([*CHANGES, "disk"]))
    def change(self, which: int, how: str) -> None:
        row = self.rows[which]
        if how == "disk":
            row.machine.disks.update(serial=f"NEW{which}")
        elif not row.install or how in ("protected", "serial number"):
            values = CHANGES[how] | ({"serial": f"NEW{which}"} if how == "serial number" else {})
            Machine.objects.filter(pk=row.machine_id).update(**values)
        if row.install is not None:
            return
        if _facts(Machine.objects.get(pk=row.machine_id)) == self.seen.get(row.machine_id):
            self.changed.discard(row.machine_id)
        else:
            self.changed.add(row.machine_id)

    # What time and machines do.

    @rule(minutes=st.sampled_from([0, 1, 61, 240, 600]))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(dies=st.booleans())
    def look(self, dies: bool) -> None:
        """A watchdog takes turns until there is nothing to do, or dies in the middle of one."""
        dying = mock.patch("machines.actions.drop_power_commands", side_effect=Killed)
        for _ in range(2 * MACHINES):
            before, state, bad = self.begun, self.wave.state, self.bad
            try:
                with dying if dies else contextlib.nullcontext(), transaction.atomic():
                    goes_on = turns.take(self.number, at=self.now)
            except Killed:
                assert self.begun == before, "what a killed process began is not there"
                return
            if self.begun > before:
                self._may_have_begun(state, bad)
            if not goes_on:
                return

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, MACHINES), how=st.sampled_from(["well", "well", "failed", "cancelled"]))
    def end(self, which: int, how: str) -> None:
        self._end(self.live[which % len(self.live)], how)

    # What must be so after each rule.

    def check_invariants(self, *args: object, **kwargs: object) -> None:
        if not hasattr(self, "number"):
            return
        rows, live = self.rows, self.live
        parts = {row.part for row in live}
        assert len(parts) <= 1, f"parts {parts} are under way together"
        most = self.rules.canary_count if parts == {0} else self.rules.part_size
        assert len(live) <= most, f"{len(live)} are under way, a part has {most}"
        for row in rows:
            assert row.install is None or row.skipped_at is None
            assert Install.objects.filter(machine=row.machine).count() == (row.install is not None)
            assert row.install is None or row.machine_id not in self.changed, f"{row.machine} changed, and is wiped"
        names = list(self.wave.events.values_list("name", flat=True))
        assert all(names.count(once) <= 1 for once in ("approve", "stop", "finish", "cancel"))
        skips = [name for name in names if name == "skip"]
        assert len(skips) <= sum(row.skipped_at is not None for row in rows)

    def _may_have_begun(self, state: str, bad: int) -> None:
        assert state == State.RUNNING, f"something began while the wave was {state}"
        assert bad < self.rules.stop_at, f"something began after {bad} bad ends"
        assert windows.is_open(self.rules.window_from, self.rules.window_to, self.now)
        if self.rules.window_from:
            assert self.now.hour >= 22 or self.now.hour < 5, "something began by day"

    def _must_end(self) -> None:
        """Whatever happened: once everybody lets it, it comes to its end."""
        if not hasattr(self, "number") or self.wave.state == State.PROPOSED:
            return
        if self.wave.state == State.PAUSED:
            asking.resume(self.wave, by="bea")
        for _ in range(3 * MACHINES):
            self.now = self.now.replace(hour=23)
            self.look(dies=False)
            self.check_invariants()
            for row in self.live:
                self._end(row, "well")
        assert self.wave.state in ENDED, f"it is {self.wave.state} for ever"
        assert (self.wave.state == State.STOPPED) == (self.bad >= self.rules.stop_at and self.wave.state != "cancelled")

    def _end(self, row: WaveMachine, how: str) -> None:
        """By the engine's own verbs: its machine never booted, so that ending is a matter of rows."""
        assert row.install is not None
        if how == "well":
            flow.begin_next()
        with transaction.atomic():
            install = lock(row.install_id)
            if how == "well" and install.state == InstallState.RUNNING:
                ending.finish(install)
                return
            wanted = InstallState.CANCELLED if how == "cancelled" else InstallState.FAILED
            ending.stop_locked(install, cause="silent", error="it fell silent", wanted=wanted)
        while Install.objects.filter(pk=row.install_id, state=InstallState.STOPPING).exists():
            flow.run_due()

    @property
    def wave(self) -> Wave:
        return Wave.objects.select_related("image").get(pk=self.number)

    @property
    def rows(self) -> list[WaveMachine]:
        return list(self.wave.machines.select_related("machine", "install").order_by("position"))

    @property
    def live(self) -> list[WaveMachine]:
        return [row for row in self.rows if row.install and row.install.is_live]

    @property
    def begun(self) -> int:
        return Install.objects.count()

    @property
    def bad(self) -> int:
        return Install.objects.filter(state__in=[InstallState.FAILED, InstallState.CANCELLED]).count()


@pytest.fixture(autouse=True)
def _ready():
    from machines.power import fake

    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


def test_whatever_happens_a_wave_keeps_its_rules(guarantee: Callable[..., Tally]) -> None:
    first = random.SystemRandom().randrange(1 << 31) if is_long() else 1
    tally, before = guarantee("T26", SAYS, seed=first), Rollout.finished
    try:
        run(first, rounds(12, 2000), Phase.generate, Phase.shrink)
    except BaseException:
        tally.failures += 1
        raise
    finally:
        tally.trials += Rollout.finished - before


BROKEN = {
    "no part waits": lambda: mock.patch.object(WaveMachineQuerySet, "live", lambda self: self.none()),
    "no failure counts": lambda: mock.patch.object(WaveMachineQuerySet, "ended_badly", lambda self: self.none()),
    "always open": lambda: mock.patch("installs.waves.turns.windows.is_open", return_value=True),
    "no plan binds": lambda: mock.patch("installs.digests.changed", return_value=[]),
}


@pytest.mark.parametrize("guard", BROKEN)
def test_a_wave_with_a_broken_guard_is_noticed(guard: str) -> None:
    """Else the test above could not fail."""
    if not is_long() and guard != "no part waits":
        pytest.skip("takes a while: in the long form only")
    with BROKEN[guard](), pytest.raises((AssertionError, ExceptionGroup)):
        run(1, 200, Phase.generate)


def run(first: int, count: int, *phases: Phase) -> None:
    wanted = settings(
        max_examples=count, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True, phases=phases,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    run_state_machine_as_test(seed(first)(Rollout), settings=wanted)


# One thing at a time, as people tell it.


@pytest.fixture
def machines() -> list[Machine]:
    return [installing.make_machine(f"n{number}", number=number) for number in range(1, 7)]


@pytest.fixture
def image() -> Image:
    return installing.make_image()


def approved(machines: list[Machine], image: Image, **rules: object) -> Wave:
    wave = asking.propose(machines, image, Rules(**rules), by="ann")  # type: ignore[arg-type]
    return asking.approve(wave, approved=asking.plans(wave).digest, by="bea")


def begun(wave: Wave) -> list[str]:
    return list(wave.machines.filter(install__isnull=False).values_list("machine__name", flat=True))


def end_all(wave: Wave, how: str = "well") -> None:
    for row in wave.machines.live().select_related("install"):
        Rollout._end(mock.Mock(), row, how)


def test_canaries_first_then_parts_to_the_end(machines, image):
    wave = approved(machines, image, canary_count=2, part_size=3)
    turns.take_all()
    assert begun(wave) == ["n1", "n2"]
    end_all(wave)
    turns.take_all()
    assert begun(wave) == ["n1", "n2", "n3", "n4", "n5"]
    end_all(wave)
    turns.take_all()
    end_all(wave)
    turns.take_all()
    wave.refresh_from_db()
    assert (wave.state, wave.ended_at is not None) == ("done", True)
    assert Install.objects.filter(state="installed", requested_by="ann").count() == 6
    assert list(wave.events.values_list("name", "by")) == [("propose", "ann"), ("approve", "bea"), ("finish", "")]


def test_failures_stop_it_and_are_told(machines, image):
    target = NoticeTarget.objects.create(name="ops", address="https://example.org/")
    wave = approved(machines, image, canary_count=3, part_size=3, stop_at=2)
    turns.take_all()
    for row in list(wave.machines.live().select_related("install"))[:2]:
        Rollout._end(mock.Mock(), row, "failed")
    turns.take_all()
    wave.refresh_from_db()
    assert wave.state == "stopped"
    assert wave.why_ended == "2 installs failed, 0 were cancelled: n1 (silent), n2 (silent)"
    notice = Notice.objects.get(kind=Notice.Kind.WAVE_STOPPED)
    assert (notice.target, notice.payload["data"]["not_begun"]) == (target, 3)
    with pytest.raises(asking.Refused, match="“stopped” now"):
        asking.resume(wave, by="bea")
    end_all(wave)
    turns.take_all()
    assert begun(wave) == ["n1", "n2", "n3"]


def test_a_skipped_canary_is_replaced_and_the_reason_is_kept(machines, image):
    wave = approved(machines, image, canary_count=1, part_size=5)
    machines[0].disks.update(serial="ANOTHER")
    Machine.objects.filter(name="n2").update(protected=True)
    turns.take_all()
    assert begun(wave) == ["n3"]
    reasons = dict(wave.machines.exclude(skipped_at=None).values_list("machine__name", "skipped_why"))
    assert "the disk changed" in reasons["n1"]
    assert "n2 is protected" in reasons["n2"]


def test_what_cannot_be_installed_at_the_approval_is_skipped_then(machines, image):
    Machine.objects.filter(name="n1").update(protected=True)
    wave = approved(machines, image, canary_count=1)
    assert wave.machines.get(machine__name="n1").skipped_at
    turns.take_all()
    assert begun(wave) == ["n2"]


def test_an_approval_is_of_the_list_that_was_shown(machines, image):
    wave = asking.propose(machines, image, Rules(), by="ann")
    shown = asking.plans(wave).digest
    machines[4].disks.update(serial="ANOTHER")
    with pytest.raises(asking.Refused, match=r"Changed since this list was shown: the disk\."):
        asking.approve(wave, approved=shown, by="bea")
    turns.take_all()
    assert not Install.objects.exists()


@pytest.mark.parametrize(
    ("begin", "end", "clock", "is_open"),
    [
        (None, None, "03:00", True), ("22:00", "05:00", "22:00", True), ("22:00", "05:00", "21:59", False),
        ("22:00", "05:00", "00:00", True), ("22:00", "05:00", "04:59", True), ("22:00", "05:00", "05:00", False),
        ("09:00", "17:00", "08:59", False), ("09:00", "17:00", "09:00", True), ("09:00", "17:00", "17:00", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"])
def test_windows_are_of_the_clock_on_the_wall(settings, begin, end, clock, is_open, zone):
    from zoneinfo import ZoneInfo

    settings.TIME_ZONE = zone
    times = [time.fromisoformat(text) if text else None for text in (begin, end)]
    moment = datetime.combine(NOON.date(), time.fromisoformat(clock), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert windows.is_open(*times, moment) is is_open
    if not is_open:
        opening = windows.opens_at(times[0], moment)
        assert moment < opening <= moment + timedelta(days=1)
        assert windows.is_open(*times, opening)
