"""`manage.py test`: every check there is, in order, on real databases, a real queue and real virtual machines."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from dodaiweb.testing import guarantees, needs, stages
from dodaiweb.testing.stages import Result, Stage


class Command(BaseCommand):
    help = "Run all checks and tests. Arguments it does not know go to pytest, which then runs alone, on SQLite."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Take the arguments as they are: Django's parser would refuse those that are for pytest."""
        parser = argparse.ArgumentParser(prog="manage.py test", description=self.help)
        self.add_arguments(parser)
        known, others = parser.parse_known_args(argv[2:])
        if known.guarantees is not None:
            self.guarantees(known.guarantees + others, minutes=known.minutes)
        self.handle(fast=known.fast, pytest_arguments=others)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--fast", action="store_true", help="leave out PostgreSQL, the lab and the browser")
        parser.add_argument(
            "--guarantees", nargs="*", metavar="CLAIM",
            help="instead: the long form of tests/guarantees, or of some claims (T5 D10); writes docs/guarantees.md",
        )  # fmt: skip
        parser.add_argument("--minutes", type=float, default=240, help="of --guarantees, at most (240)")

    def guarantees(self, claims: Sequence[str], *, minutes: float) -> None:
        """Ends the program: exit code 1 if a test failed or was not run."""
        signal.signal(signal.SIGTERM, _interrupt)
        needs.install_missing()
        try:
            sys.exit(0 if guarantees.run(claims, minutes=minutes, say=self._say) else 1)
        except guarantees.GuaranteesProblem as problem:
            sys.exit(str(problem))
        except KeyboardInterrupt:
            sys.exit("Interrupted; what had been started has ended. The table holds what ended before.")

    def handle(self, *args: str, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        pytest_arguments = options.get("pytest_arguments", [])
        started = time.monotonic()
        complete = needs.install_missing()
        try:
            results = self._run(stages.chosen(fast=options["fast"], pytest_arguments=pytest_arguments))
        except KeyboardInterrupt:
            sys.exit("Interrupted; what had been started has ended.")
        self._summarise(results, time.monotonic() - started)
        if not complete:
            self.stdout.write("Debian packages are missing (the line for apt is at the top); some tests need them.")
        sys.exit(any(result.problem for result in results))

    def _say(self, words: str) -> None:
        self.stdout.write(words)
        self.stdout.flush()

    def _run(self, chosen: Sequence[Stage]) -> list[Result]:
        def say(number: int, stage: Stage) -> None:
            self._say(f"\n=== {number}/{len(chosen)} {stage.name} ".ljust(100, "="))

        return stages.run_all(chosen, say)

    def _summarise(self, results: Sequence[Result], seconds: float) -> None:
        self.stdout.write("\n" + "=" * 99)
        for result in results:
            self.stdout.write(f"{result.name:<24}{result.seconds:>7.1f} s   {result.problem or 'ok'}")
        self.stdout.write(f"{'all':<24}{seconds:>7.1f} s   {_verdict(results)}")


def _verdict(results: Sequence[Result]) -> str:
    failed = [result.name for result in results if result.problem]
    return f"FAILED: {', '.join(failed)}" if failed else "ok"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
