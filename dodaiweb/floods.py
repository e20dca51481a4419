"""How often one machine may call the provisioning listener, so that none slows the others.

By its token first: many machines may share one address. By address only for those whose token nobody knows, and for
questions that have none (how to boot), so that guessing and scanning are slow. Who asks too often gets 429.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
KEYS_KEPT = 10_000
WITH_TOKEN_IN_PATH = ("/script/", "/first-boot/")


class Allowance:
    """So many calls a second for each key, and `at_once` of them after a pause."""

    def __init__(self, per_second: float, at_once: int) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (calls left, when that was so)
        self._lock = threading.Lock()

    def take(self, key: str, calls: int = 1) -> bool:
        """Whether the key has a call left; `calls` are then taken (none: only look)."""
        moment = time.monotonic()
        with self._lock:
            left, since = self._left.pop(key, (float(self._at_once), moment))
            left = min(self._at_once, left + (moment - since) * self._per_second)
            is_allowed = left >= 1
            self._left[key] = (left - calls if is_allowed else left, moment)
            if len(self._left) > KEYS_KEPT:
                self._left.popitem(last=False)
            return is_allowed


class FloodGate:
    """The application with a limit for each machine before it."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._machines = Allowance(per_second=30, at_once=60)
        self._strangers = Allowance(per_second=20, at_once=60)
        self._questions = Allowance(per_second=50, at_once=500)
        self._known: OrderedDict[str, None] = OrderedDict()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        token, address = _token(environ), environ.get("REMOTE_ADDR", "")
        is_known = token in self._known
        if not self._allows(token, address, is_known=is_known):
            return _too_many(start_response)

        def start(status: str, *rest: Any) -> Any:
            if token and not is_known and status[:3] in ("200", "410"):
                self._remember(token)
            return start_response(status, *rest)

        return self._application(environ, start)

    def _allows(self, token: str, address: str, *, is_known: bool) -> bool:
        if is_known:
            return self._machines.take(token)
        return self._strangers.take(address) if token else self._questions.take(address)

    def _remember(self, token: str) -> None:
        self._known[token] = None
        if len(self._known) > KEYS_KEPT:
            self._known.popitem(last=False)


def _token(environ: dict[str, Any]) -> str:
    path = environ.get("PATH_INFO", "")
    for start in WITH_TOKEN_IN_PATH:
        if path.startswith(start):
            return str(path.removeprefix(start))
    return str(environ.get("HTTP_AUTHORIZATION", ""))


def _too_many(start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = b"too many requests: wait a second\n"
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Retry-After", "1")]
    start_response("429 Too Many Requests", headers)
    return [body]
