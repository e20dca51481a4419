"""T3, T16: when nothing more happens an install ends, and neither clock nor down-time ends it early or late.

Time is virtual. Nobody but the watchdog runs unless a test says so.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.guarantees.tally import Tally, rounds

pytestmark = pytest.mark.django_db
TURNS = 13  # of a machine and the workers, until it is installed
PAUSES = 8  # where a worker may die within a step
ILLNESSES = ("well", "silent", "refuses", "idle", "mute")
CAUSES = {"no-netboot", "silent", "no-first-boot", "bmc-silent", "bmc-refused", "power-lost", "power", "cancelled"}
DAY = 24 * 3600
STEPS_MOST = 12  # each may take its time, with nobody but the watchdog to do it
LIVE = ("queued", "running", "waiting", "stopping")


@pytest.fixture
def furnish() -> Iterator[Callable[[], object]]:
    from tests.guarantees import room

    with room.opened() as furnish:
        yield furnish


@pytest.fixture
def begun(furnish) -> Iterator[Callable[..., object]]:
    """A function: a schedule of one install or inspection, so many turns after its start; the one before is undone."""
    from tests.guarantees.schedules import Schedule

    under_way: list[Schedule] = []

    def begin(turns: int, *, kind: str = "install") -> Schedule:
        while under_way:
            under_way.pop().teardown()
        under_way.append(type("Schedule", (Schedule,), {"furnish": staticmethod(furnish)})())
        under_way[0].start(n=0, kind=kind)
        under_way[0].oracle.check()
        if turns:
            under_way[0].all_goes_well(n=0, times=turns, fate="arrives")
        under_way[0].oracle.check()
        return under_way[0]

    yield begin
    while under_way:
        under_way.pop().teardown()


def ends(schedule, *, with_workers: bool = False) -> str:
    """Let time pass. Returns the cause; fails if anything outlived its deadline by a minute, or has no named end."""
    for _ in range(STEPS_MOST):
        schedule.room.pass_time(3600, with_workers=with_workers)
        schedule.oracle.check()
        [row] = schedule.oracle.rows.values()
        if row["state"] not in LIVE:
            break
    assert row["state"] in ("installed", "failed", "cancelled"), row
    assert row["state"] == "installed" or row["cause"] in CAUSES, row
    return str(row["cause"])


SAYS = "When nothing more happens, an install ends within 60 s of its deadline, with a named cause, by any one process"


@pytest.mark.parametrize("kind", ["install", "inspect"])
def test_every_place_of_an_install_ends_by_its_deadline(guarantee: Callable[..., Tally], begun, kind: str) -> None:
    tally = guarantee("T3", SAYS)
    for turns in range(0, TURNS, rounds(3, 1)):
        for with_workers in (False, True):
            with tally.trial():
                ends(begun(turns, kind=kind), with_workers=with_workers)


@pytest.mark.parametrize("illness", ILLNESSES)
def test_stopping_ends_whatever_the_bmc_does(guarantee: Callable[..., Tally], begun, illness: str) -> None:
    tally = guarantee("T3", SAYS)
    for turns in (1, 7):
        with tally.trial():
            schedule = begun(turns)
            schedule.bmc_falls_ill(n=0, illness=illness)
            schedule.cancel(pick=0)
            schedule.oracle.check()
            ends(schedule)


def test_a_worker_that_dies_anywhere_keeps_no_install_from_ending(guarantee: Callable[..., Tally], begun) -> None:
    tally = guarantee("T3", SAYS)
    for turns in (0, 1, 11):
        for at in range(1, PAUSES, rounds(2, 1)):
            for dies in (True, False):
                with tally.trial():
                    schedule = begun(turns)
                    schedule.room.clock.go_on(1)
                    schedule.worker_stops(at=at, dies=dies)
                    schedule.oracle.check()
                    ends(schedule)


def seconds_until_given_up(schedule) -> float:
    """Real seconds, whatever the clock says meanwhile."""
    from installs.lifecycle import GOING_ON

    room, began = schedule.room, schedule.room.clock.uptime
    while True:
        schedule.oracle.check()
        [row] = schedule.oracle.rows.values()
        if row["state"] not in GOING_ON:
            return float(room.clock.uptime - began)
        deadline = min(end for end in (row["quiet_until"], row["give_up_at"]) if end)
        room.clock.go_on(max((deadline - room.clock.wall).total_seconds() - 1, 0))
        room.watch()


@pytest.mark.parametrize("turns", [4, 12])
@pytest.mark.parametrize("jump", [3600, -3600, 90, -90])
@pytest.mark.parametrize("speaks", [False, True])
def test_a_step_of_the_clock_ends_nothing_early_or_late(
    guarantee: Callable[..., Tally], begun, turns: int, jump: int, speaks: bool
) -> None:
    """Also where the machine speaks in the second between the step and the watchdog's next turn."""
    tally = guarantee("T16", "A clock that is stepped ends no install more than 5 s early or late")
    with tally.trial():
        after = []
        for by in (0, jump):
            schedule = begun(turns)
            schedule.room.watch()
            schedule.room.clock.go_on(20)
            schedule.room.watch()
            schedule.room.clock.step(by)
            if speaks:
                schedule.machine_goes_on(n=0, times=1)
            schedule.room.clock.go_on(0.5)
            schedule.room.turn()
            after.append(seconds_until_given_up(schedule))
        assert abs(after[0] - after[1]) <= 5, after


@pytest.mark.parametrize("turns", [2, 9])
@pytest.mark.parametrize("down", [20, 3600, DAY])
def test_down_time_does_not_count(guarantee: Callable[..., Tally], begun, turns: int, down: int) -> None:
    tally = guarantee("T16", "Time in which Dodai was down does not count against an install, to 5 s")
    with tally.trial():
        after = []
        for seconds in (0, down):
            schedule = begun(turns)
            schedule.room.watch()
            schedule.room.down(seconds)
            after.append(seconds_until_given_up(schedule))
        assert abs(after[0] - after[1]) <= 5, after
