"""A machine that exports its disk as the ramdisk does: Debian's tgtd on a file, told what to do by the real answers."""

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from installs.iscsi import tools
from installs.models import Install
from installs.ramdisk.apt import PrivateApt
from installs.ramdisk.sources import codename, debian_sources
from installs.ramdisk.stage import Stage
from machines.models import Machine, Site
from tests import installing, ports

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 120
PIECE_BYTES = 1 << 16


def fetch(folder: Path) -> Stage:
    """tgtd and tgtadm of Debian below `folder`, and a qemu-img that speaks iSCSI where Dodai looks for it."""
    apt = PrivateApt(settings.DATA, debian_sources(codename()), say=lambda text: None)  # whose lists serve both
    apt.freshen()
    stage = Stage(folder)
    files = apt.download(["tgt"], apt.closure(["tgt"]))
    stage.unpack(file for file in files if file.name.startswith(("tgt_", "lib")))
    if not tools.found(settings.DATA):
        tools.fetch(settings.DATA, lambda text: None)
    return stage


def wait_until(found: Any, what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)
    return value


def on_this_computer(number: int) -> Machine:
    """A machine whose network leads to one port of this computer, as that of practice servers does."""
    installing.main_site()
    Site.objects.update(is_practice=True)
    machine = installing.make_machine(f"node{number}", number=number)
    lead_here(machine)
    return machine


def lead_here(machine: Machine) -> None:
    machine.bmc.host, machine.bmc.port = "127.0.0.1", ports.free()[0]
    machine.bmc.save()


class Gate:
    """Carries connections to tgtd. It may be shut after so many bytes for the disk, and be cut as a network is."""

    def __init__(self, port: int, to: int, *, hold_after: int | None, hold_seconds: float | None) -> None:
        self.is_open, self.passed = threading.Event(), 0
        self.is_held = threading.Event()
        self._hold_seconds = hold_seconds
        self._hold_after, self._to, self._sockets = hold_after, to, list[socket.socket]()
        self._listening = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        self.is_open.set()
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to), timeout=10)
                far.settimeout(None)
                self._sockets += [near, far]
                threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if is_counted and self._hold_after is not None and self.passed > self._hold_after:
                    self.is_held.set()
                    self.is_open.wait(self._hold_seconds)
                    self.is_open.set()
                sink.sendall(piece)
                self.passed += len(piece) if is_counted else 0
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass
class Exporter(threading.Thread):
    """The ramdisk of one install between the phases turn and verify. `server` has been granted the disk."""

    server: installing.Server
    tools: Stage
    disk: Path
    work: Path
    hold_after: int | None = None  # bytes, of the first copy only
    hold_seconds: float | None = None  # until somebody opens it
    secret: str = ""  # instead of the one that it was told
    copies: list[int] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    ended: str = ""  # copied, or the status that ended it
    error: BaseException | None = None
    over: threading.Event = field(default_factory=threading.Event)  # nobody wants it any more

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._target: subprocess.Popen[bytes] | None = None

    __hash__ = threading.Thread.__hash__

    @property
    def gate(self) -> Gate:
        """That of the first copy, once it is there."""
        return wait_until(lambda: self.gates, "the export")[0]

    def run(self) -> None:
        try:
            self._export()
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            self.error = exc
        finally:
            self.withdraw()
            connection.close()

    def stop(self) -> None:
        self.over.set()
        self.join(PATIENCE_SECONDS)
        self.withdraw()

    def withdraw(self) -> None:
        if self._target:
            self._target.kill()
            self._target.wait()
            self._target = None
        for gate in self.gates:
            gate.cut()

    def _export(self) -> None:
        exported = 0
        while not self.over.is_set():
            status, told = self._ask(exported)
            if status != 200:
                self.ended = str(status)
                return
            if told["DODAI_COPIED"] == "yes":
                self.ended = "copied"
                return
            if int(told["DODAI_COPY"]) != exported:
                self.withdraw()
                exported = int(told["DODAI_COPY"])
                if exported:
                    self._offer(told)
                continue
            time.sleep(0.25)

    def _ask(self, exported: int) -> tuple[int, dict[str, str]]:
        headers = {"Authorization": f"Bearer {self.server.token}"}
        said = json.dumps({"copy": exported})
        answer = self.server.client.post("/export", said, "application/json", headers=headers)
        lines = [line.partition("=") for line in answer.content.decode().splitlines() if "=" in line]
        return answer.status_code, {name: "".join(shlex.split(value)) for name, _, value in lines}

    def _offer(self, told: dict[str, str]) -> None:
        port = int(told["DODAI_EXPORT_PORTAL"].rpartition(":")[2])
        own, copy = ports.free()[0], int(told["DODAI_COPY"])
        self._environment = os.environ | {"TGT_IPC_SOCKET": str(self.work / f"tgt{copy}")}
        with (self.work / "tgtd.log").open("ab") as log:
            command = self.tools.command("tgtd", "--foreground", "--iscsi", f"portal=127.0.0.1:{own}")
            dying = ("setpriv", "--pdeathsig", "KILL", *command)  # with the thread that starts it
            self._target = subprocess.Popen(dying, stdout=log, stderr=log, env=self._environment)
        name, user = told["DODAI_EXPORT_TARGET"], told["DODAI_EXPORT_USER"]
        wait_until(lambda: self._adm("--op new --mode target --tid 1 --targetname", name) == 0, "tgtd")
        for words in (
            ("--op new --mode logicalunit --tid 1 --lun 1 --backing-store", str(self.disk)),
            ("--op new --mode account --user", user, "--password", self.secret or told["DODAI_EXPORT_SECRET"]),
            ("--op bind --mode account --tid 1 --user", user),
            ("--op bind --mode target --tid 1 --initiator-address", "ALL"),
        ):
            assert self._adm(*words) == 0, words[0]
        hold_after = None if self.copies else self.hold_after
        self.gates.append(Gate(port, own, hold_after=hold_after, hold_seconds=self.hold_seconds))
        self.copies.append(copy)

    def _adm(self, words: str, *more: str) -> int:
        command = self.tools.command("tgtadm", "--lld", "iscsi", *words.split(), *more)
        return subprocess.run(command, env=self._environment, capture_output=True, check=False).returncode


def granted(server: installing.Server) -> None:
    """Boot, ask for the grant, and come to the phase in which it waits for its turn."""
    assert server.boot()
    server.say("install")
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    for phase in ("clear", "turn"):
        server.say("progress", {"phase": phase, "done_bytes": 0, "total_bytes": 0})


def qemus(install: Install) -> list[int]:
    """The processes of qemu-img that write for this install."""
    found, name = [], f"iqn.2026-11.dodai:i{install.pk}c".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if name in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@contextmanager
def copier_process() -> Iterator["subprocess.Popen[bytes]"]:
    """The real command, on the database of this test."""
    environment = os.environ | {"DODAI_DATABASE_URL": _url_of_tests(), "DODAI_DATA": str(settings.DATA)}
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "copy_images"], cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def _url_of_tests() -> str:
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite://{found['NAME']}"
    return f"postgresql://{found['USER']}@/{found['NAME']}?host={found['HOST']}"
