"""T2, INV1-INV12: whatever happens, in whatever order, the invariants of tests/guarantees/oracle.py hold.

The long form runs 100,000 schedules, or as many as there is time for, on all processors. To run some by hand, from
seed 7 on:
`DODAI_SCHEDULES=7:1000 python3 -m pytest tests/guarantees/test_schedules.py`
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.guarantees.tally import TABLE, Tally, is_long, is_time_left, rounds

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
BATCH = 50  # schedules a seed: a failure is found again within seconds
SAYS = "Random schedules of people, workers, machines, network and time keep every invariant"
CHOSEN = "DODAI_SCHEDULES"
KEPT = "schedules kept every invariant: seed "


@pytest.fixture
def furnish() -> Iterator[Callable[[], object]]:
    from tests.guarantees import room

    with room.opened() as furnish:
        yield furnish


@pytest.mark.fills_the_time
def test_random_schedules_keep_every_invariant(guarantee: Callable[..., Tally], furnish) -> None:
    first = random.SystemRandom().randrange(1 << 31) if is_long() else 1
    tally = guarantee("T2", SAYS, seed=first)
    count = rounds(150, 100_000)
    if not is_long():
        run(furnish, tally, first=first, count=count)
        return
    shares = [(first + share * (count // BATCH), count // processors()) for share in range(processors())]
    children = [begin(*share, number) for number, share in enumerate(shares)]
    said = [child.communicate()[0] for child in children]
    for child, words in zip(children, said, strict=True):
        with tally.trial(words.count(KEPT) * BATCH):
            assert child.returncode == 0, words[-20_000:]


@pytest.mark.skipif(CHOSEN not in os.environ, reason=f"{CHOSEN}=SEED:COUNT chooses the schedules")
def test_chosen_schedules_keep_every_invariant(furnish) -> None:
    first, _, count = os.environ[CHOSEN].partition(":")
    run(furnish, Tally("T2", SAYS), first=int(first), count=int(count or BATCH))


def run(furnish, tally: Tally, *, first: int, count: int) -> None:
    from tests.guarantees import schedules

    for seed in range(first, first + -(-count // BATCH)):
        if not is_time_left():
            return
        with tally.trial(BATCH):
            try:
                schedules.run(furnish, base=seed, count=BATCH)
            except BaseException as exc:
                exc.add_note(f"Again: {CHOSEN}={seed} python3 -m pytest tests/guarantees/test_schedules.py -k chosen")
                raise
        print(f"{BATCH} {KEPT}{seed}")


def begin(first: int, count: int, number: int) -> "subprocess.Popen[str]":
    """A share of the schedules in a process and a database of its own."""
    environment = os.environ | {CHOSEN: f"{first}:{count}"}
    for name in (TABLE, "DJANGO_SETTINGS_MODULE"):
        environment.pop(name, None)
    if url := os.environ.get("DODAI_DATABASE_URL"):
        environment["DODAI_DATABASE_URL"] = urlsplit(url)._replace(path=f"/schedules_{number}").geturl()
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-k", "chosen", __file__]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)


def processors() -> int:
    return len(os.sched_getaffinity(0))
