"""The real `manage.py up`, driven from outside: for tests and for the programs in tests/bench."""

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests import canaries, ports

ROOT = Path(__file__).resolve().parent.parent
MANAGE = ROOT / "manage.py"
SESSION_COOKIE, CSRF_COOKIE = "dodai_session", "dodai_csrf"
READY = r"^ready: (?P<url>\S+)(?:  user (?P<user>\S+)  password (?P<password>\S+))?$"
START_SECONDS, END_SECONDS = 120, 60  # on a computer that does much else


def free_ports() -> tuple[int, int]:
    """A port for the pages, and one for the provisioning listener with a free one after it."""
    pages, provision, _ = ports.free(3)
    return pages, provision


def plain_environment() -> dict[str, str]:
    """This one's, without what only the tests told themselves."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DODAI_", "DJANGO_"))}


@dataclass
class Up:
    """One run of `up`. As a context it is stopped at the end, whatever happened."""

    data: Path
    options: tuple[str, ...] = ("--no-lab",)
    ports: tuple[int, int] = field(default_factory=free_ports)
    output: str = ""
    seen: dict[str, bytes] = field(default_factory=dict)  # command lines and environments at its ends

    def __enter__(self) -> "Up":
        command = [sys.executable, str(MANAGE), "up", "--data", str(self.data), *self.options]
        command += ["--port", str(self.ports[0]), "--provision-port", str(self.ports[1])]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=plain_environment(),
        )
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.stop(signal.SIGKILL)
        self._selector.close()
        if self.process.stdout:
            self.process.stdout.close()
        if kind is None:
            assert leaks(self.data, self.output, self.seen) == []

    def wait_for(self, pattern: str, *, seconds: float = START_SECONDS, flags: int = 0) -> re.Match[str]:
        """The first match of `pattern` in what it has printed. Raises AssertionError with its words if none comes."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.output, re.MULTILINE | flags)):
            assert time.monotonic() < deadline, f"no {pattern!r} within {seconds} s in:\n{self.output}"
            if not self._hear(min(0.2, max(0.0, deadline - time.monotonic()))):
                match = re.search(pattern, self.output, re.MULTILINE | flags)
                assert match, f"it ended without {pattern!r}:\n{self.output}"
                return match
        return match

    def wait_ready(self, *, seconds: float = START_SECONDS) -> re.Match[str]:
        """Its line `ready: ...`; groups url, user, password."""
        return self.wait_for(READY, seconds=seconds)

    def finish(self, *, seconds: float = END_SECONDS) -> int:
        """Read to its end; its exit code."""
        deadline = time.monotonic() + seconds
        while self._hear(0.2):
            assert time.monotonic() < deadline, f"still there after {seconds} s:\n{self.output}"
        return self.process.wait(timeout=END_SECONDS)

    def stop(self, number: int = signal.SIGINT, *, seconds: float = END_SECONDS) -> int:
        """Send it a signal and wait for its end; its exit code."""
        if self.process.poll() is None:
            self.seen |= canaries.in_processes(descendants(self.process.pid))
            self.process.send_signal(number)
        return self.finish(seconds=seconds)

    def manage(self, *words: str) -> str:
        """What a command in another terminal prints, which knows the data folder and nothing else; it must succeed."""
        done = subprocess.run(
            [sys.executable, str(MANAGE), *words], env=plain_environment() | {"DODAI_DATA": str(self.data)}, cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def pid_of(self, name: str) -> int:
        """The process of one child, by its name."""
        return next(pid for pid in descendants(self.process.pid) if comm(pid) == name)

    def _hear(self, seconds: float) -> bool:
        if not self._selector.select(seconds):
            return True
        assert self.process.stdout
        chunk = os.read(self.process.stdout.fileno(), 65536)
        self.output += chunk.decode(errors="replace")
        return bool(chunk)


def leaks(data: Path, output: str, seen: dict[str, bytes]) -> list[str]:
    """Which secrets of a run stand in its output or in `seen`. The first password is told once, in its line."""
    told = [match["password"] for match in re.finditer(READY, output, re.MULTILINE) if match["password"]]
    secrets = {**canaries.of_folder(data), **{f"password {number}": word for number, word in enumerate(told)}}
    words = re.sub(READY, "", output, flags=re.MULTILINE)
    return canaries.found(secrets, {"its output": words.encode(errors="replace"), **seen})


class Pages:
    """The pages of a real `up`, as whoever the line `ready: ...` names has them in a browser."""

    def __init__(self, ready: re.Match[str]) -> None:
        self.url, self.session = ready["url"], requests.Session()
        self.post("/login/", data={"username": ready["user"], "password": ready["password"]})
        assert SESSION_COOKIE in self.session.cookies, "nobody is logged in"

    def post(self, path: str, **more: Any) -> requests.Response:
        self.session.get(self.url + "/login/", timeout=60)
        headers = {"X-CSRFToken": self.session.cookies[CSRF_COOKIE], "Referer": self.url}
        return self.session.post(self.url + path, headers=headers, timeout=60, **more)

    def import_machines(self, columns: str, *lines: str) -> None:
        """A file of machines, uploaded, looked at and confirmed."""
        text = "\n".join((columns, *lines, ""))
        found = self.post("/inventory/import/", files={"file": ("m.csv", text.encode())})
        approved = found.text.partition('name="approved" value="')[2].partition('"')[0]
        assert approved, found.text[-2000:]
        assert self.post(found.url.removeprefix(self.url), data={"approved": approved}).ok


def descendants(pid: int) -> list[int]:
    """`pid` and all processes below it."""
    parents: dict[int, list[int]] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue  # it has just ended
        parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = [pid]
    for each in found:
        found.extend(parents.get(each, []))
    return found


def comm(pid: int) -> str:
    """The short name of a process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def is_gone(pid: int, *, seconds: float = 30) -> bool:
    """Whether the process ends within `seconds`; one that nobody has reaped yet counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def pss_bytes(pid: int) -> int:
    """Memory of a process with shared pages counted in parts (proc(5), smaps_rollup)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
