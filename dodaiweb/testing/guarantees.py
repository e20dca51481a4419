"""`manage.py test --guarantees`: the long form of tests/guarantees, and the table that it writes."""

import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dodaiweb.options import ROOT
from dodaiweb.testing import figures, stages
from dodaiweb.testing.figures import Figure
from dodaiweb.testing.stages import Stage

FOLDER = ROOT / "tests" / "guarantees"
_CLAIM = re.compile(r"[A-Z]{1,4}\d{1,3}")
_CALL = re.compile(r"\bguarantee\(\s*\"([A-Z]{1,4}\d{1,3})\"")
_TO_END_SECONDS = 60  # for the tests that try until the time is over
# Stage, arguments of pytest, where it runs.
_STAGES: tuple[tuple[str, tuple[str, ...], Callable[[], AbstractContextManager[Mapping[str, str]]]], ...] = (
    ("SQLite", ("-m", "not lab and not browser"), stages.on_sqlite),
    ("PostgreSQL", ("--only-database",), stages.on_postgres),
    ("lab", ("-m", "lab"), stages.on_sqlite),
)


class GuaranteesProblem(Exception):
    """What was asked for cannot be run; the text says what can."""


@dataclass
class Told:
    """What the tests of one stage wrote down (tests/guarantees/conftest.py)."""

    problem: str
    figures: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """What went wrong, by test: pytest says it at its end, which it does not reach when its time is over."""
    found: set[str] = field(default_factory=set)
    chosen: set[str] = field(default_factory=set)

    @property
    def not_run(self) -> list[str]:
        """Tests that were to be run, and counted nothing."""
        return sorted(self.chosen - {figure["test"] for figure in self.figures})


def run(claims: Sequence[str], *, minutes: float, say: Callable[[str], None]) -> bool:
    """Run what counts trials of `claims` (all if none is named) for `minutes` at most, and write the table.

    Each stage may take all the time that is left; tests that fill the time leave their part of it to later stages.
    False if a test failed or was not run; `say` has been told which. Raises GuaranteesProblem.
    """
    files, where = files_of(claims), _this_computer()
    ends = time.time() + minutes * 60
    told: dict[str, Told] = {}
    for number, (name, arguments, environment) in enumerate(_STAGES):
        left = int(ends - time.time())
        say(f"\n=== {name}: {left / 60:.0f} minutes are left ".ljust(100, "="))
        command = ("-m", "pytest", "-p", "no:cacheprovider", *arguments, *files)
        stage = Stage(name, command, left, environment=environment)
        share = left / (len(_STAGES) - number)
        told[name] = _stage(stage, claims, share) if left > 0 else Told("no time was left for it")
        figures.write(_merged(told, where))
    return _summarise(told, say)


def files_of(claims: Sequence[str]) -> list[str]:
    """The files whose text names one of the claims; the whole folder if none is asked for."""
    if odd := [claim for claim in claims if not _CLAIM.fullmatch(claim)]:
        raise GuaranteesProblem(f"A claim is named like T5 or D10, not {odd[0]!r}.")
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(FOLDER.rglob("test_*.py"))}
    found = [path for path, text in texts.items() if any(f'"{claim}"' in text for claim in claims)]
    if claims and not found:
        known = sorted({claim for text in texts.values() for claim in _CALL.findall(text)}, key=figures._order)
        raise GuaranteesProblem(f"No test counts trials of {', '.join(claims)}. There are: {', '.join(known)}.")
    return found or [str(FOLDER.relative_to(ROOT))]


def _stage(stage: Stage, claims: Sequence[str], share_seconds: float) -> Told:
    with tempfile.TemporaryDirectory(prefix="dodai-guarantees-") as folder:
        lines = Path(folder) / "lines"
        told = {
            "DODAI_GUARANTEES": str(lines),
            "DODAI_GUARANTEES_ONLY": " ".join(claims),
            "DODAI_GUARANTEES_UNTIL": str(time.time() + share_seconds - _TO_END_SECONDS),
        }
        result = stages.run(stage, told)
        text = lines.read_text() if lines.exists() else ""
    nothing_to_do = {"exit code 5", "ran no test"}  # no test of these files is of this stage
    return _read(text, "" if result.problem in nothing_to_do else result.problem)


def _read(text: str, problem: str) -> Told:
    told = Told(problem)
    for line in map(json.loads, text.splitlines()):
        if "found" in line:
            told.found.add(line["found"])
            told.chosen |= {line["found"]} if line["is_chosen"] else set()
        elif "failed" in line:
            told.failed[line["failed"]] = line["text"]
        else:
            told.figures.append(line)
    return told


def _merged(told: Mapping[str, Told], where: str) -> list[Figure]:
    new = [_figure(line, stage, where) for stage, said in told.items() for line in said.figures]
    return figures.merged(figures.read(), new, found={stage: said.found for stage, said in told.items()})


def _figure(line: dict[str, Any], stage: str, where: str) -> Figure:
    known = {name: line[name] for name in ("claim", "says", "test", "trials", "failures", "seed", "seconds")}
    processor = f", {line['accelerator']}" if line.get("accelerator") else ""
    return Figure(**known, stage=stage, ran_on=where + processor)


def _this_computer() -> str:
    """Python 3.11, 2 cores, 2026-11-22, 50af004"""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"Python {python}, {len(os.sched_getaffinity(0))} cores, {datetime.now(UTC):%Y-%m-%d}, {_commit()}"


def _commit() -> str:
    """Its short name, `+` if a file that is kept was changed since, but for those that this program writes."""
    written = [f":!{path.relative_to(ROOT)}" for path in (figures.PAGE, figures.KEPT) if path.is_relative_to(ROOT)]
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return f"{name}+" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", *written) else name
    except (OSError, subprocess.SubprocessError):
        return "no commit"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def _summarise(told: Mapping[str, Told], say: Callable[[str], None]) -> bool:
    say("\n" + "=" * 99)
    for stage, said in told.items():
        trials = sum(line["trials"] for line in said.figures)
        failures = sum(line["failures"] for line in said.figures)
        say(f"{stage:<12}{trials:>12,} trials, {failures:,} failed   {said.problem or 'ok'}")
        for test in said.not_run:
            say(f"{'':<12}not run to its end: {test}")
    for test, text in ((test, text) for said in told.values() for test, text in said.failed.items()):
        say(f"\n{test}\n{text}")
    say("docs/guarantees.md and docs/guarantees.jsonl are written.")
    return not any(said.problem or said.not_run for said in told.values())
