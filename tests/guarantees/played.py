"""Machines that are played: their BMC is a file, they boot and speak over HTTP, and they try again as real ones do."""

import http.client
import json
import os
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from machines.power.base import BootDevice, Power, PowerDriver
from machines.power.child import call_in_child

FOLDER = "DODAI_TEST_BMCS"
PATIENCE_SECONDS = 240


class PlayedPower(PowerDriver):
    """Speaks to its BMC in a process of its own, like the real drivers. The BMC is the log of what it was told."""

    slug = "played"
    label = "Played"
    needs_address = False

    def state(self) -> Power:
        return self._ask(_power_of)

    def on(self) -> None:
        self._tell("on")

    def off(self) -> None:
        self._tell("off")

    def soft_off(self) -> None:
        self._tell("off")

    def reset(self) -> None:
        self._tell("reset")

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        self._tell(f"boot from {device}")

    def boot_device(self) -> BootDevice | None:
        return None

    def _tell(self, what: str) -> None:
        self._ask(partial(_note, what=what, pid=os.getpid()))

    def _ask(self, function: Callable[[Path], Any]) -> Any:
        path = Path(os.environ[FOLDER], self.endpoint.machine)
        return call_in_child(partial(function, path), whom=str(self.endpoint))


def _note(path: Path, *, what: str, pid: int) -> None:
    with path.open("a") as log:
        log.write(f"{time.time()} {pid} {what}\n")


@dataclass(frozen=True)
class Told:
    """What a BMC was told, when, and by which worker."""

    at: float
    pid: int
    what: str


def told(path: Path) -> list[Told]:
    lines = path.read_text().splitlines() if path.exists() else []
    parts = [line.split(" ", 2) for line in lines]
    return [Told(float(at), int(pid), what) for at, pid, what in parts]


def _power_of(path: Path) -> Power:
    switches = [each.what for each in told(path) if not each.what.startswith("boot")]
    return Power.ON if switches and switches[-1] in ("on", "reset") else Power.OFF


class _Answer:
    """As far as `installing.Server` wants one."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status_code, self.content, self._headers = response.status, response.read(), response.headers

    def __getitem__(self, name: str) -> str:
        return self._headers.get(name, "")

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Caller:
    """Posts until it is answered, as the machine's scripts do: what is no answer, or 5xx, is tried again."""

    port: int
    tries: int = 0  # calls that had to be made again
    meanwhile: Callable[[], None] = lambda: None  # called between two tries
    _pause: float = field(default=0.25)

    def get(self, path: str, query: dict[str, str] | None = None, *, headers: dict[str, str] | None = None) -> _Answer:
        return self._until_answered("GET", f"{path}?{urllib.parse.urlencode(query or {})}", b"", headers or {})

    def post(
        self, path: str, data: Any = "", content_type: str = "", *, headers: dict[str, str] | None = None
    ) -> _Answer:
        return self._until_answered("POST", path, *_form(data, content_type, headers))

    def post_once(self, path: str, data: Any, *, headers: dict[str, str] | None = None) -> _Answer:
        """As a browser does: who gets no answer looks what came of it. Raises OSError or HTTPException."""
        return once(self.port, "POST", path, *_form(data, "", headers))

    def _until_answered(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> _Answer:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            last: object
            try:
                answer = once(self.port, method, path, body, headers)
                if answer.status_code < 500:
                    return answer
                last = (answer.status_code, answer.content)
            except (OSError, http.client.HTTPException) as exc:
                last = exc
            assert time.monotonic() < end, f"{path.split('?')[0]}: no answer in {PATIENCE_SECONDS} s, last {last!r}"
            self.tries += 1
            self.meanwhile()
            time.sleep(self._pause)


def _form(data: Any, content_type: str, headers: dict[str, str] | None) -> tuple[bytes, dict[str, str]]:
    body = data if isinstance(data, str) else urllib.parse.urlencode(data)
    return body.encode(), {"Content-Type": content_type or "application/x-www-form-urlencoded"} | (headers or {})


def once(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> _Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        return _Answer(connection.getresponse())
    finally:
        connection.close()
