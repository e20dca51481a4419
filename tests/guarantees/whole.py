"""A whole Dodai with fault points, a database of its own, and machines that are played against it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import installing
from tests.guarantees import faults, played
from tests.real_up import READY, free_ports

_STARTER = ThreadPoolExecutor(1)  # the kernel ends what it starts with the thread that did (prctl(2)): it stays
PROGRAM = Path(__file__).with_name("faulty_up.py")
START_SECONDS = 180
RAMDISK = '{"name": "lab", "modules": [], "packages": {}, "options": {}, "kernel_release": "6.1", "recipe": "",' \
    ' "built_at": 0, "sizes": {"vmlinuz": 0, "initrd": 0}}'  # fmt: skip


@dataclass
class Site:
    """One `up` on `home`/data. As a context it is stopped at the end, whatever happened."""

    home: Path
    database_url: str  # "" for SQLite in the data folder
    ports: tuple[int, int] = field(default_factory=free_ports)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def faults(self) -> Path:
        return self.home / "faults"

    @property
    def bmcs(self) -> Path:
        return self.home / "bmcs"

    @property
    def output(self) -> Path:
        return self.home / "output.txt"

    @property
    def valkey_url(self) -> str:
        return f"unix://{self.data / 'run' / 'valkey.sock'}"

    def __enter__(self) -> "Site":
        from django.conf import settings

        self.bmcs.mkdir()
        faults.prepare(self.faults)
        shutil.copytree(settings.DATA / "keys", self.data / "keys")  # sessions made by the test are good there
        (self.data / "images").mkdir()
        (self.data / "images" / installing.DIGEST).touch()
        ramdisk = self.data / "ramdisk" / installing.RAMDISK.version
        ramdisk.mkdir(parents=True)
        for name, text in (("vmlinuz", ""), ("initrd", ""), ("manifest.json", RAMDISK)):
            (ramdisk / name).write_text(text)
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for pid in self.pids():
            signal_to(pid, signal.SIGCONT)
        self.process.kill()  # the kernel ends what is below it
        self.process.wait(20)

    def start(self) -> None:
        before = self.output.stat().st_size if self.output.exists() else 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DODAI_", "DJANGO_"))}
        environment |= {faults.FOLDER: str(self.faults), played.FOLDER: str(self.bmcs)}
        if self.database_url:
            environment["DODAI_DATABASE_URL"] = self.database_url
        words = ("--data", self.data, "--port", self.ports[0], "--provision-port", self.ports[1])
        with self.output.open("ab") as output:
            self.process = _STARTER.submit(
                subprocess.Popen, ["setpriv", "--pdeathsig", "KILL", sys.executable, str(PROGRAM), *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", env=environment,
            ).result()  # fmt: skip
        wait_until(lambda: self._said(READY, before), seconds=START_SECONDS, what=f"{self.output} to say ready")

    def pids(self) -> list[int]:
        from tests.real_up import descendants

        return descendants(self.process.pid)

    def pid_of(self, name: str) -> int:
        from tests.real_up import comm

        return next(pid for pid in self.pids() if comm(pid) == name)

    def revive(self) -> None:
        """Start it again if it was killed as a whole, as systemd would."""
        if self.process.poll() is not None:
            self.start()

    def tail(self) -> str:
        return self.output.read_text(errors="replace")[-3000:]

    def _said(self, pattern: str, after: int) -> re.Match[str] | None:
        text = self.output.read_bytes()[after:].decode(errors="replace")
        match = re.search(pattern, text, re.MULTILINE)
        assert match or self.process.poll() is None, f"up ended:\n{text}"
        return match


@contextmanager
def using(database_url: str) -> Iterator[None]:
    """The models of this process, in all its threads, lead to that database."""
    from django.db import connections

    from dodaiweb.settings import _database

    kept, settings = connections["default"], connections.settings["default"]
    other = {"default": {**_database(database_url), "CONN_MAX_AGE": 0}}
    connections.settings["default"] = connections.configure_settings(other)["default"]
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"], connections["default"] = settings, kept


@dataclass
class Story:
    """What a played machine saw of one install."""

    granted: set[str] = field(default_factory=set)  # kernel boots that were told to write
    granted_at: float = 0.0
    rebooted_at: float = 0.0  # when it first said that all is written
    is_up: bool = False
    up_at: float = 0.0
    error: BaseException | None = None


class _Kernel(installing.Server):
    @property
    def mac(self) -> str:
        return next(card.mac for card in self.machine.interfaces.all() if card.is_pxe)


class Player(threading.Thread):
    """One machine through one install: two kernels of it boot, both ask for the grant, the one that gets it writes."""

    stages: tuple[str, ...] = ("boot from network", "on", "boot from disk", "reset")  # what its BMC has to be told
    phase = "copy"

    def __init__(self, site: Site, machine: Any) -> None:
        super().__init__(daemon=True, name=machine.name)
        known = type(machine).objects.prefetch_related("interfaces", "disks")  # it knows itself without the database
        self.site, self.machine, self.story = site, known.get(pk=machine.pk), Story()
        self.path = site.bmcs / machine.name
        self.begins_at = len(played.told(self.path))
        self.over = threading.Event()

    def told(self) -> list[played.Told]:
        return played.told(self.path)[self.begins_at :]

    def run(self) -> None:
        from django.db import connections

        try:
            self._play()
        except BaseException as exc:  # noqa: BLE001 - told by the round, in whose thread it would be lost
            self.story.error = exc
        finally:
            connections.close_all()

    def _play(self) -> None:
        story = self.story
        first, second = self._booted()
        first.say("install", {})
        writer, granted = self._contest(first, second)
        self._write(writer)
        story.rebooted_at = time.time()
        writer.say("install_reboot")
        self._await("its restart", lambda: any(_restarts(each) for each in self.told() if each.at > story.rebooted_at))
        self._finish(writer, granted)

    def _write(self, writer: installing.Server) -> None:
        for done in (10, 90):
            writer.say("progress", {"phase": self.phase, "done_bytes": done, "total_bytes": 100})

    def _booted(self) -> tuple[Any, Any]:
        """Two kernels of it, once it was switched on."""
        first, second = self._kernel(), self._kernel()
        self._await("it to be switched on", lambda: any(each.what == "on" for each in self.told()))
        for kernel in (first, second):
            self._await("the network boot", kernel.boot)
        return first, second

    def _finish(self, kernel: installing.Server, settings: str) -> None:
        kernel.finish_first_boot(settings)
        self.story.is_up, self.story.up_at = True, time.time()

    def _contest(self, *kernels: installing.Server) -> tuple[installing.Server, str]:
        """Both ask, and the second also whenever the first gets no answer. Returns who may write, and the grant."""
        first, second = kernels
        answers: list[tuple[installing.Server, str]] = []

        def ask(kernel: installing.Server) -> None:
            text = kernel.ask_grant()
            if "DODAI_GRANTED=yes" in text:
                answers.append((kernel, text))
                self.story.granted.add(kernel.boot_id)
                self.story.granted_at = self.story.granted_at or time.time()

        first.client.meanwhile = lambda: ask(second)
        ask(first)
        first.client.meanwhile = lambda: None
        ask(second)
        assert answers, "nobody was granted"
        return answers[-1] if answers[-1][0] is first else answers[0]

    def _kernel(self) -> installing.Server:
        return kernel_of(self, _Kernel)

    def _await(self, what: str, found: Callable[[], Any]) -> None:
        end = time.monotonic() + played.PATIENCE_SECONDS
        while not found():
            assert not self.over.is_set() and time.monotonic() < end, f"{self.machine.name} waited for {what} in vain"
            time.sleep(0.05)


def kernel_of(player: Player, kind: type[installing.Server]) -> installing.Server:
    kernel = kind(player.machine)
    kernel.client = played.Caller(player.site.ports[1])
    return kernel


def _restarts(each: played.Told) -> bool:
    return each.what in ("reset", "on")


def wait_until(found: Callable[[], Any], *, seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)
    return value


def signal_to(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
