"""T6, T7: every process is killed or frozen at every fault point that an install passes."""

import random
import signal
from collections import Counter

import pytest

from tests import installing
from tests.guarantees import faults
from tests.guarantees.faults import VICTIMS, Fault
from tests.guarantees.killing import Operator, Round, running
from tests.guarantees.tally import is_long

SEED = 20261122
MACHINES = 3
OFTEN = ("watchdog", "poll_power")  # they pass their points every second, whatever is installed
NOT_AT_WORK = ("copy_images", "import_images", "images", "valkey")
KINDS = {"power", "bmc", "commit", "write", "queue", "job"}


@pytest.fixture(scope="module")
def site(tmp_path_factory, django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), running(tmp_path_factory.mktemp("kill")) as site:
        yield site


@pytest.fixture(scope="module")
def bench(site):
    """Runs one round on the same machines."""
    numbers = range(1, MACHINES + 1)
    machines = [installing.make_machine(f"node{number}", driver="played", number=number) for number in numbers]

    def run(*struck: Fault, count: int = MACHINES) -> Round:
        played = Round(site, Operator(site), machines[:count], struck)
        played.run()
        return played

    return run


@pytest.fixture(scope="module")
def points(site, bench) -> list[tuple[str, int]]:
    """(point, how often one install passes it): as an install that nobody disturbs says."""
    (site.faults / "record").touch()
    bench(count=1)
    recorded = faults.passes(site.faults)
    (site.faults / "record").unlink()
    passed: Counter[str] = Counter()
    for process, point in recorded:
        if process in OFTEN:
            passed[point] = max(passed[point], 1)
        elif process not in NOT_AT_WORK:
            passed[point] += 1
    return sorted(passed.items())


def kills(points: list[tuple[str, int]]) -> list[Fault]:
    """The process itself at each pass, every other victim at the first one."""
    itself = [Fault(point, nth=nth) for point, count in points for nth in _passes(point, count)]
    others = [Fault(point, victim) for point, _ in points for victim in VICTIMS if victim not in ("self", "all")]
    return itself + others


def _passes(point: str, count: int) -> list[int]:
    return [1, count] if point.startswith("queue:publish") and count > 1 else list(range(1, count + 1))


def freezes(points: list[tuple[str, int]]) -> list[Fault]:
    return [Fault(point, number=signal.SIGSTOP) for point, _ in points]


def ends_of_all(points: list[tuple[str, int]]) -> list[Fault]:
    return [Fault(point, "all") for point, _ in points]


def a_share(chance: random.Random, all_of_them: list[Fault], count: int) -> list[Fault]:
    """All in the long form; else so many, of each kind of boundary one before there are two."""
    chance.shuffle(all_of_them)
    if is_long():
        return all_of_them
    seen: Counter[str] = Counter()
    ranked = []
    for fault in all_of_them:
        kind = fault.point.partition(":")[0]
        seen[kind] += 1
        ranked.append((seen[kind], fault))
    return [fault for _, fault in sorted(ranked, key=lambda pair: pair[0])][:count]


def test_all_kinds_of_boundaries_are_passed(points):
    """A wrapper that no longer fits would leave its boundary without any fault."""
    assert {point.partition(":")[0] for point, _ in points} == KINDS
    assert {point.rpartition(":")[2] for point, _ in points} == {"before", "after"}
    assert len(points) > 60


@pytest.mark.parametrize(
    ("claim", "says", "choose", "share", "at_once"),
    [
        ("T6", "A process killed at any boundary: the install goes on within 30 s, granted once", kills, 12, 4),
        ("T6", "Everything killed at any boundary: the install goes on within 30 s, granted once", ends_of_all, 1, 1),
        ("T7", "A process frozen for longer than its lease has no effect once it wakes", freezes, 3, 3),
    ],
    ids=["killed", "all-killed", "frozen"],
)
def test_installs_survive(points, bench, guarantee, claim, says, choose, share, at_once):
    chance = random.Random(SEED)
    tally = guarantee(claim, says, seed=SEED)
    chosen = a_share(chance, choose(points), share)
    longest = 0.0
    for start in range(0, len(chosen), at_once):
        together = chosen[start : start + at_once]
        with tally.trial(len(together)):
            played = bench(*together)
        tally.trials -= len(together) - len(played.struck)  # one that did not strike was no trial
        longest = max([longest, *played.recoveries])
    assert tally.trials >= 0.7 * len(chosen), "most of them never struck"
    print(f"{tally.trials} faults, longest recovery {longest:.1f} s")
