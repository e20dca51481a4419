"""The figures of docs/guarantees.md: counted by the tests of tests/guarantees, kept in docs/guarantees.jsonl."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dodaiweb.options import ROOT

PAGE = ROOT / "docs" / "guarantees.md"
KEPT = ROOT / "docs" / "guarantees.jsonl"
BEGIN = "<!-- figures: `python3 manage.py test --guarantees` writes what stands between these marks -->"
END = "<!-- end of the figures -->"
DOUBT = 0.05  # 95 % bounds
_HEAD = ("Claim", "What it says", "Trials", "Failed", "95 % bound", "Seed", "Took", "Ran on")


@dataclass(frozen=True)
class Figure:
    """What one test counted in one run. `stage`: SQLite, PostgreSQL or lab; `ran_on`: computer, day, commit."""

    claim: str
    says: str
    test: str
    trials: int
    failures: int
    seed: int | None
    seconds: float
    stage: str
    ran_on: str

    @property
    def file(self) -> str:
        return self.test.partition("::")[0]


def bound(trials: int, failures: int) -> float:
    """The one-sided 95 % upper bound of the rate of failure: 3/n where none failed, else Clopper and Pearson's.

    That is the rate at which so few failures, or fewer, would be seen in 5 % of such runs (Biometrika 26, 1934).
    """
    if not trials or failures >= trials:
        return 1.0
    if not failures:
        return min(1.0, 3 / trials)
    low, high = failures / trials, 1.0
    for _ in range(100):  # halves each time: more than a float can tell apart
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(failures, trials, middle) > DOUBT else (low, middle)
    return high


def _at_most(failures: int, trials: int, rate: float) -> float:
    """The binomial probability of that many failures or fewer; 0 < rate < 1."""
    if rate >= 1.0:
        return 0.0
    ways = (
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(rate) + (trials - k) * math.log1p(-rate)
        for k in range(failures + 1)
    )  # fmt: skip
    return math.fsum(math.exp(way) for way in ways)


def read(path: Path | None = None) -> list[Figure]:
    """What is kept; nothing where there is no file yet."""
    path = path or KEPT
    return [Figure(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def merged(kept: Iterable[Figure], new: Sequence[Figure], *, found: dict[str, set[str]]) -> list[Figure]:
    """`kept` with what was counted anew in its place, and without tests that no longer are.

    `found`: per stage the tests that are there, of all files that were looked through.
    """
    again = {(figure.test, figure.stage) for figure in new}
    files = {stage: {test.partition("::")[0] for test in tests} for stage, tests in found.items()}
    stay = [
        figure for figure in kept
        if (figure.test, figure.stage) not in again and (ROOT / figure.file).exists()
        and (figure.file not in files.get(figure.stage, ()) or figure.test in found[figure.stage])
    ]  # fmt: skip
    return sorted([*stay, *new], key=lambda figure: (_order(figure.claim), figure.says, figure.stage, figure.test))


def write(figures: Sequence[Figure], *, page: Path | None = None, kept: Path | None = None) -> None:
    """Keep the lines, and put the table made of them into the page."""
    page, kept = page or PAGE, kept or KEPT
    text = with_table(page.read_text(), figures)
    kept.write_text("".join(json.dumps(asdict(figure)) + "\n" for figure in figures))
    page.write_text(text)


def with_table(page: str, figures: Sequence[Figure]) -> str:
    """The page with the table between its marks. ValueError if the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"docs/guarantees.md must hold both marks:\n{BEGIN}\n{END}")
    return "".join((before, BEGIN, "\n", table(figures), END, after))


def table(figures: Sequence[Figure]) -> str:
    """In Markdown: a line for each claim, sentence, stage and run."""
    together: dict[tuple[str, str, str, str], list[Figure]] = defaultdict(list)
    for figure in figures:
        together[figure.claim, figure.says, figure.stage, figure.ran_on].append(figure)
    lines = [_HEAD, ("---", "---", "---:", "---:", "---:", "---", "---:", "---"), *map(_line, together.values())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _line(figures: Sequence[Figure]) -> tuple[str, ...]:
    first = figures[0]
    trials, failures = sum(figure.trials for figure in figures), sum(figure.failures for figure in figures)
    says = first.says.replace("|", "\\|").replace("\n", " ")
    counted = (f"{trials:,}", f"{failures:,}", f"{bound(trials, failures):.1g}")
    ran_on = f"{first.stage}; {first.ran_on}"
    return (first.claim, says, *counted, _seeds(figures), _duration(sum(f.seconds for f in figures)), ran_on)


def _seeds(figures: Sequence[Figure]) -> str:
    seeds = sorted({figure.seed for figure in figures if figure.seed is not None})
    few = ", ".join(map(str, seeds[:3]))
    return f"{few} and {len(seeds) - 3} more" if len(seeds) > 3 else few or "-"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _order(claim: str) -> tuple[str, int]:
    letters = claim.rstrip("0123456789")
    return letters, int(claim[len(letters) :] or 0)
