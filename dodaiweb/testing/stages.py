"""The stages of a test run, in order, and how one of them is run."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType

from dodaiweb.options import ROOT
from dodaiweb.testing import postgres

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
    environment: Environment = on_sqlite


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    name: str
    problem: str  # empty: none
    seconds: float


def _pytest(*arguments: str) -> tuple[str, ...]:
    return ("-m", "pytest", *arguments)


STAGES = (
    Stage("lint", ("-m", "ruff", "check", ".")),
    Stage("types", ("-m", "mypy")),
    Stage("layers", ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")),
    Stage("checks", ("manage.py", "check", "--fail-level", "WARNING")),
    Stage("migrations", ("manage.py", "makemigrations", "--check", "--dry-run")),
    Stage("tests on SQLite", _pytest("-m", "not lab and not browser"), 1200),
    Stage("tests on PostgreSQL", _pytest("--only-database"), 1000, is_quick=False, environment=on_postgres),
    Stage("lab", _pytest("-m", "lab"), 1800, is_quick=False),
    Stage("browser", _pytest("-m", "browser"), 780, is_quick=False),
)


def chosen(*, fast: bool, pytest_arguments: Sequence[str]) -> list[Stage]:
    """The stages to run. With arguments of pytest: only pytest, with those, on SQLite."""
    if pytest_arguments:
        return [Stage("pytest", _pytest(*pytest_arguments), 3600)]
    return [stage for stage in STAGES if stage.is_quick or not fast]


def run_all(chosen: Sequence[Stage], say: Callable[[int, Stage], None]) -> list[Result]:
    """Run them one after another; `say` gets the number and the stage before each.

    What a stage leaves of its limit the next ones may have on top: all of them never take longer than their limits
    together, but a computer that is slow for once ends none of them.
    """
    results: list[Result] = []
    spare = 0.0
    for number, stage in enumerate(chosen, start=1):
        say(number, stage)
        results.append(run(stage, spare_seconds=spare))
        spare = max(0.0, spare + stage.limit_seconds - results[-1].seconds)
    return results


def run(stage: Stage, told: Mapping[str, str] = MappingProxyType({}), *, spare_seconds: float = 0) -> Result:
    """Run one stage with its words on the terminal, never longer than its limit; `told`: variables beside its own."""
    started = time.monotonic()
    try:
        with stage.environment() as environment:
            problem = _run(stage, {**environment, **told}, limit=stage.limit_seconds + spare_seconds)
    except postgres.PostgresProblem as error:
        problem = str(error)
    return Result(stage.name, problem, time.monotonic() - started)


def _run(stage: Stage, environment: Mapping[str, str], *, limit: float) -> str:
    sys.stdout.flush()
    variables = {**os.environ, **environment}
    variables.pop("DJANGO_SETTINGS_MODULE", None)  # pytest must not load the settings before tests/conftest.py
    # A session of its own, so that all of a stage can be ended, with whatever it started.
    process = subprocess.Popen([sys.executable, *stage.command], cwd=ROOT, env=variables, start_new_session=True)
    try:
        code = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not done after {limit:.0f} s"
    finally:
        _end(process)
    if code == 5 and "pytest" in stage.command:
        return "ran no test"
    return f"exit code {code}" if code else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also what a stage left behind that ended by itself
    process.wait(timeout=10)
