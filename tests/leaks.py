"""T33 over the whole suite: after each test, no secret of it stands in what was logged or printed, nor in Valkey.

What is sealed for the database, given to a user as a password or made as a token is a secret, whoever does it; so are
the keys of the run. What a command prints on purpose, for whoever asked it, stays out of the look at standard output.
"""

import json
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import canaries

LEAST = 10  # characters: a shorter one may be a word that stands there for another reason
MOST = 200  # of one test, the first ones: some seal thousands
VALKEY_SECONDS = 5


class Leaks:
    """A plugin of pytest (registered by tests/conftest.py)."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.client = redis.Redis.from_url(f"unix://{data / 'run' / 'valkey.sock'}", socket_timeout=VALKEY_SECONDS)
        self.tests, self.finds, self.seconds = 0, 0, 0.0
        self.always: dict[str, str] = {}
        self.used: dict[str, str] = {}  # what only a leak can show
        self.given: dict[str, str] = {}  # what a command may print for whoever asked for it

    def pytest_sessionstart(self) -> None:
        """Django is set up now. Nobody has imported these functions by themselves."""
        from django.contrib.auth.base_user import AbstractBaseUser

        from dodaiweb import keys
        from installs import tokens

        self.always = {name: keys.read(self.data, name) for name in keys.NAMES}
        keys.encrypt = self._noting(keys.encrypt, lambda plain, purpose: self._note_sealed(plain, purpose))
        AbstractBaseUser.set_password = self._noting(
            AbstractBaseUser.set_password, lambda user, raw: self._note(self.given, "a user's password", raw)
        )
        for name in ("new", "following"):
            setattr(tokens, name, self._noting_result(getattr(tokens, name)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "teardown":
            began = time.perf_counter()
            out = self._look(report)
            self.used.clear()
            self.given.clear()
            self.seconds += time.perf_counter() - began
            self.tests += 1
            self.finds += bool(out)
            if out and report.passed:
                report.outcome, report.longrepr = "failed", f"Secrets came out: {', '.join(out)}"
        return report

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        found = f"{self.finds} let some out" if self.finds else "none came out"
        terminalreporter.write_line(
            f"{self.tests} tests were looked through for secrets in {self.seconds:.1f} s: {found}"
        )

    def _look(self, report: pytest.TestReport) -> list[str]:
        said = {"what was logged": report.caplog, "standard error": report.capstderr}
        places = {where: text.encode(errors="replace") for where, text in said.items() if text} | self._valkey()
        out = canaries.found(self.always | self.used | self.given, places) if places else []
        printed = report.capstdout.encode(errors="replace")
        return out + (canaries.found(self.always | self.used, {"standard output": printed}) if printed else [])

    def _valkey(self) -> dict[str, bytes]:
        """What is in the Valkey of the tests; nothing where it is away."""
        with suppress(redis.RedisError, OSError):
            return canaries.in_valkey(self.client)
        return {}

    def _note_sealed(self, plain: str, purpose: str) -> None:
        if purpose in ("bmc password", "notice secret"):  # others are URLs and files: their words may be said
            self._note(self.used, f"a {purpose}", plain)
        if purpose == "switch secrets" and plain:
            for secret in json.loads(plain).values():
                self._note(self.used, "a secret of a switch", secret)
        if purpose == "image secrets":
            self._note(self.used, "the key of a place", json.loads(plain).get("whole_place", "").partition("?")[2])
            for line in "\n".join(map(str, json.loads(plain).values())).splitlines():
                self._note(self.used, "a secret variable of an image", line.partition(":")[2].strip())

    def _note(self, secrets: dict[str, str], name: str, secret: str | None) -> None:
        if secret and len(secret) >= LEAST and len(secrets) < MOST and secret not in secrets.values():
            secrets[f"{name} ({len(secrets) + 1})"] = secret

    @staticmethod
    def _noting(call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def noting(*args: Any, **kwargs: Any) -> Any:
            note(*args, **kwargs)
            return call(*args, **kwargs)

        return noting

    def _noting_result(self, call: Callable[..., str]) -> Callable[..., str]:
        def noting(*args: Any, **kwargs: Any) -> str:
            token = call(*args, **kwargs)
            self._note(self.given, "a token", token)
            return token

        return noting
