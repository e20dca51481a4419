"""The stages of a test run, in order, and how one of them is run."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO

from dodaiweb.options import ROOT
from dodaiweb.testing import postgres

Process = subprocess.Popen[bytes]
Environment = Callable[[], AbstractContextManager[Mapping[str, str]]]


def on_sqlite() -> AbstractContextManager[Mapping[str, str]]:
    return nullcontext({})


@contextmanager
def on_postgres() -> Iterator[Mapping[str, str]]:
    with postgres.cluster() as url:
        yield {"DODAI_DATABASE_URL": url}


@dataclass(frozen=True)
class Stage:
    """One program that says by its exit code whether all is well."""

    name: str
    command: tuple[str, ...]
    limit_seconds: int = 120
    is_quick: bool = True  # `test --fast` runs it
    is_beside: bool = False  # it runs at once with the stage before it: both mostly wait
    environment: Environment = on_sqlite


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    name: str
    problem: str  # empty: none
    seconds: float


def _pytest(*arguments: str) -> tuple[str, ...]:
    return ("-m", "pytest", *arguments)


def _on_sqlite(name: str, *arguments: str, is_beside: bool = False) -> Stage:
    return Stage(name, _pytest("-m", "not lab and not browser", *arguments), 1800, is_beside=is_beside)


def _on_postgres(name: str, *arguments: str) -> Stage:
    command = _pytest("--only-database", *arguments)
    return Stage(name, command, 1800, is_quick=False, is_beside=True, environment=on_postgres)


GUARANTEES = "tests/guarantees"
OTHERS = f"--ignore={GUARANTEES}"
STAGES = (
    Stage("lint", ("-m", "ruff", "check", ".")),
    Stage("types", ("-m", "mypy")),
    Stage("layers", ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")),
    Stage("checks", ("manage.py", "check", "--fail-level", "WARNING")),
    Stage("migrations", ("manage.py", "makemigrations", "--check", "--dry-run")),
    # At once, as all four mostly wait; the guarantees take as long as all other tests together.
    _on_sqlite("tests on SQLite", OTHERS),
    _on_sqlite("guarantees on SQLite", GUARANTEES, is_beside=True),
    _on_postgres("tests on PostgreSQL", OTHERS),
    _on_postgres("guarantees on PostgreSQL", GUARANTEES),
    Stage("lab", _pytest("-m", "lab"), 2200, is_quick=False),
    Stage("browser", _pytest("-m", "browser"), 780, is_quick=False),
)


def chosen(*, fast: bool, pytest_arguments: Sequence[str]) -> list[Stage]:
    """The stages to run. With arguments of pytest: only pytest, with those, on SQLite."""
    if pytest_arguments:
        return [Stage("pytest", _pytest(*pytest_arguments), 3600)]
    return [stage for stage in STAGES if stage.is_quick or not fast]


def run_all(chosen: Sequence[Stage], say: Callable[[int, Stage], None]) -> list[Result]:
    """Run them one after another, or those at once that are `beside` others; `say` gets number and stage before each.

    What stages leave of their limit the next ones may have on top: all of them never take longer than their limits
    together, but a computer that is slow for once ends none of them.
    """
    results: list[Result] = []
    spare = 0.0
    for together in _groups(chosen):
        for number, stage in enumerate(together, start=len(results) + 1):
            say(number, stage)
        ended = _run_together(together, {}, spare)
        spare = max(0.0, spare + _limit(together) - max(result.seconds for result in ended))
        results += ended
    return results


def run(stage: Stage, told: Mapping[str, str] = MappingProxyType({})) -> Result:
    """Run one stage with its words on the terminal, never longer than its limit; `told`: variables beside its own."""
    return _run_together([stage], told, 0)[0]


def limits(chosen: Sequence[Stage]) -> float:
    """Seconds that all of them may take together."""
    return sum(map(_limit, _groups(chosen)))


def _groups(chosen: Sequence[Stage]) -> list[list[Stage]]:
    groups: list[list[Stage]] = []
    for stage in chosen:
        if stage.is_beside and groups:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    return groups


def _limit(together: Sequence[Stage]) -> float:
    return max(stage.limit_seconds for stage in together)


def _run_together(together: Sequence[Stage], told: Mapping[str, str], spare_seconds: float) -> list[Result]:
    """The words of the first go to the terminal as they come, those of the others when all have ended."""
    started = time.monotonic()
    limit = _limit(together) + spare_seconds
    problems: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        outputs = {stage.name: stack.enter_context(tempfile.TemporaryFile()) for stage in together[1:]}
        running: dict[str, tuple[Stage, Process]] = {}
        with ExitStack() as processes:
            for stage in together:
                try:
                    process = processes.enter_context(_begun(stage, told, outputs.get(stage.name)))
                    running[stage.name] = stage, process
                except postgres.PostgresProblem as error:
                    problems[stage.name] = str(error)
            while running and time.monotonic() - started < limit:
                for name, (stage, process) in list(running.items()):
                    if (code := process.poll()) is not None:
                        problems[name], seconds[name] = _problem(stage, code), time.monotonic() - started
                        del running[name]
                time.sleep(0.1)
        for output in outputs.values():
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
            sys.stdout.flush()
    problems |= dict.fromkeys(running, f"not done after {limit:.0f} s")
    took = time.monotonic() - started
    return [Result(stage.name, problems[stage.name], seconds.get(stage.name, took)) for stage in together]


@contextmanager
def _begun(stage: Stage, told: Mapping[str, str], output: IO[bytes] | None) -> Iterator[Process]:
    """Its process, which ends with the context, with all that it started."""
    with stage.environment() as environment:
        sys.stdout.flush()
        variables = {**os.environ, **environment, **told}
        variables.pop("DJANGO_SETTINGS_MODULE", None)  # pytest must not load the settings before tests/conftest.py
        # A session of its own, so that all of a stage can be ended, with whatever it started.
        process = subprocess.Popen(
            [sys.executable, *stage.command], cwd=ROOT, env=variables, start_new_session=True,
            stdout=output, stderr=output,
        )  # fmt: skip
        try:
            yield process
        finally:
            _end(process)


def _problem(stage: Stage, code: int) -> str:
    if code == 5 and "pytest" in stage.command:
        return "ran no test"
    return f"exit code {code}" if code else ""


def _end(process: Process) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also what a stage left behind that ended by itself
    process.wait(timeout=10)
