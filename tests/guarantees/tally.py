"""Counting trials, and handing the counts to whoever makes the table of them."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TABLE = "DODAI_GUARANTEES"  # the file that gets a line of JSON for each test; set for the long form only
UNTIL = "DODAI_GUARANTEES_UNTIL"  # Unix time at which the tests that fill the time are to be over
MINE = "DODAI_GUARANTEES_MINE"  # the same for the one that runs


def is_long() -> bool:
    return bool(os.environ.get(TABLE))


def rounds(short: int, long: int) -> int:
    """How often to try: `short` in CI, `long` in the long form."""
    return long if is_long() else short


def is_time_left() -> bool:
    """Whether a test that fills the time may begin another round."""
    return time.time() < float(os.environ.get(MINE, "inf"))


def take_share(tests: int) -> None:
    """The test that begins now fills its part of the time, if so many tests, with itself, are to fill it."""
    end, now = float(os.environ.get(UNTIL, "inf")), time.time()
    os.environ[MINE] = str(now + (end - now) / tests)


@dataclass
class Tally:
    """Trials of one claim. `claim` is its number, as T5; `says` the sentence that the table shows."""

    claim: str
    says: str
    seed: int | None = None
    trials: int = 0
    failures: int = 0
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def trial(self, count: int = 1) -> Iterator[None]:
        """A trial, or `count` of them at once; it failed if it raises."""
        self.trials += count
        try:
            yield
        except BaseException:
            self.failures += 1
            raise

    def close(self, *, test: str, has_failed: bool, accelerator: str = "") -> None:
        """Write the line. A test that failed outside of its trials has failed once."""
        if not is_long():
            return
        line = {
            "claim": self.claim,
            "says": self.says,
            "test": test,
            "trials": self.trials,
            "failures": max(self.failures, int(has_failed)),
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.started, 1),
            "database": os.environ.get("DODAI_DATABASE_URL", "sqlite").partition(":")[0],
            "accelerator": accelerator,
        }
        write(line)


def write(line: dict[str, object]) -> None:
    """One line more for whoever makes the table."""
    with open(os.environ[TABLE], "a") as table:
        table.write(json.dumps(line) + "\n")
