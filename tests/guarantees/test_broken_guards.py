"""Each guard of the engine is taken out on purpose: the same schedule that was fine with it must then go wrong.

A test of invariants that stays green without what keeps them tests nothing.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.guarantees.tally import Tally

pytestmark = pytest.mark.django_db
Step = tuple[str, dict[str, object]]


def goes(times: int) -> list[Step]:
    """An install on the first machine, and so many turns of it: 2 boot it, 6 have the grant, 13 install it."""
    return [("start", {"n": 0, "kind": "install"}), ("all_goes_well", {"n": 0, "times": times, "fate": "arrives"})]


START: list[Step] = [("start", {"n": 0, "kind": "install"})]
CANCEL: Step = ("cancel", {"pick": 0})
WAKE: Step = ("worker_wakes", {"pick": 0})
MORE: Step = ("machine_goes_on", {"n": 0, "times": 1})


WORK: Step = ("work", {"times": 1})


def decide(what: str) -> Step:
    return ("decide", {"n": 0, "what": what})


def frozen(at: int) -> Step:
    return ("worker_stops", {"at": at, "dies": False})


def passes(seconds: int) -> Step:
    return ("time_passes", {"seconds": seconds, "with_workers": True})


def netboot() -> Step:
    return ("somebody_netboots", {"n": 0, "spelled": str, "loader": "ipxe"})


SCHEDULES: dict[str, tuple[list[Step], str]] = {
    "fence": ([*START, frozen(1), passes(61), WAKE], "A stale worker sent a power command"),
    "check_before_storing": ([*START, frozen(6), CANCEL, passes(61), WAKE], "cannot wait an install that is cancelled"),
    "state_check": ([*START, CANCEL, passes(61), ("retry_or_cancel_any", {"pick": 0, "what": "cancel"})],
                    "A change outside of the table"),
    "grant_once": (
        [*goes(2), netboot(), ("machine_goes_on", {"n": 0, "times": 3}),
         ("machine_goes_on_badly", {"n": 0, "fates": ["held"]}), ("machine_restarts", {"n": 0, "pick": 1}),
         ("machine_goes_on", {"n": 0, "times": 4}), ("held_message_arrives", {"pick": 0, "times": 1})],
        "A grant for another boot than the first",
    ),
    "grant_of_live_attempts": ([*goes(5), CANCEL, MORE], "A grant outside of a live attempt"),
    "boot_answer_of_live_attempts": ([*goes(2), passes(700), netboot()], "A destructive boot answer outside"),
    "deadlines": ([*goes(2), passes(700)], "60 s after its deadline and still going on"),
    "one_live_install": ([("start", {"n": 0, "kind": "two at once"})], "Both of two starts at once"),
    "stopping": ([*goes(8), CANCEL, passes(61)], "It ended while its script still writes"),
    "reading_back": ([*goes(8), ("bmc_falls_ill", {"n": 0, "illness": "idle"}), CANCEL, passes(61)],
                     "It says that the machine is off, but it is on"),
    "token": ([*goes(3), ("speaks_with_a_strange_token", {"n": 0, "other": 1})], "An unknown token was taken"),
    "causes_of_fallbacks": (
        [("start", {"n": 0, "kind": "chain"}), WORK, ("time_passes", {"seconds": 2, "with_workers": False}),
         decide("protect"), WORK, decide("unprotect"), WORK],
        "A fallback after a cause that forbids it",
    ),
    "protection_from_operators": (
        [("start", {"n": 0, "kind": "by hand"}), WORK, decide("protect"),
         ("operator_says", {"pick": 0, "what": "take"})],
        "Taken on a protected machine",
    ),
    "protection": ([*goes(5), ("decide", {"n": 0, "what": "protect"}), MORE], "A grant on a protected machine"),
}  # fmt: skip


@pytest.fixture
def furnish() -> Iterator[Callable[[], object]]:
    from tests.guarantees import room

    with room.opened() as furnish:
        yield furnish


@pytest.mark.parametrize("guard", SCHEDULES)
def test_without_a_guard_the_schedules_go_wrong(guarantee: Callable[..., Tally], furnish, guard: str) -> None:
    from tests.guarantees import broken

    steps, wrong = SCHEDULES[guard]
    tally = guarantee("T2", "Without any one of its guards, the same schedules find what it kept from happening")
    with tally.trial():
        play(furnish, steps)
        with getattr(broken, guard)(), pytest.raises(Exception, match=wrong):
            play(furnish, steps)


def play(furnish: Callable[[], object], steps: list[Step]) -> None:
    """One schedule with these rules, its invariants checked after each."""
    from tests.guarantees.schedules import Schedule

    schedule = type("Schedule", (Schedule,), {"furnish": staticmethod(furnish)})()
    try:
        for name, values in steps:
            getattr(schedule, name)(**values)
            schedule.oracle.check()
    finally:
        schedule.teardown()
