"""A running lab and the server its guests boot from, for the lab's tests."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import control
from lab.errors import NotRunning
from lab.profiles import Profile, profiles

ROOT = Path(__file__).parent.parent
START_SECONDS = 120
STOP_SECONDS = 60


@dataclass(frozen=True)
class Request:
    at: float
    port: int
    method: str
    path: str
    agent: str
    body: str


@dataclass
class BootServer:
    """Answers on both of the lab's ports. `boot` is the answer to /boot.ipxe; `texts` and `files` go by path."""

    boot: str = "#!ipxe\nexit\n"
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    ports: tuple[int, int] = (0, 0)

    def wait_for(self, path: str, *, seconds: float, method: str = "GET", after: float = 0.0) -> Request:
        request: Request = wait_until(lambda: self._find(path, method, after), seconds=seconds, what=f"{method} {path}")
        return request

    def _find(self, path: str, method: str, after: float) -> Request | None:
        return next((r for r in self.requests if (r.path, r.method) == (path, method) and r.at >= after), None)

    def answer(self, path: str) -> bytes | None:
        if path == "/boot.ipxe":
            return self.boot.encode()
        if path in self.files:
            return self.files[path].read_bytes()
        return self.texts[path].encode() if path in self.texts else None


@dataclass
class RunningLab:
    data: Path
    process: subprocess.Popen[bytes]
    profiles: list[Profile]
    ports: tuple[int, int]
    output: Path

    def status(self) -> dict[str, Any]:
        return control.ask(self.data, "status")

    def machine(self, name: str) -> dict[str, Any]:
        return next(machine for machine in self.status()["machines"] if machine["name"] == name)

    def ipmitool(self, profile: Profile, *words: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("ipmitool", "-I", "lanplus", "-C", "3", "-H", profile.bmc_host, "-p", str(profile.bmc_port)),
                *("-U", profile.bmc_user, "-E", *words),
            ],
            env=os.environ | {"IPMI_PASSWORD": password or profile.bmc_password},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def processes(self) -> dict[int, str]:
        """Command lines of the lab's living children, by pid: they name its folder or its provisioning port."""
        port = f":{self.ports[0]}"
        return {pid: line for pid, line in _command_lines() if str(self.data) in line or f"{port}/boot.ipxe" in line}


@contextmanager
def boot_server() -> Iterator[BootServer]:
    server = BootServer()
    listeners = [_listener(server), _listener(server)]
    server.ports = (listeners[0].server_port, listeners[1].server_port)
    for listener in listeners:
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    try:
        yield server
    finally:
        for listener in listeners:
            listener.shutdown()
            listener.server_close()


@contextmanager
def running_lab(data: Path, *, count: int, ports: tuple[int, int]) -> Iterator[RunningLab]:
    """`manage.py lab run` on a data folder of its own, always emulating."""
    servers = profiles(count, data)
    output = data / "lab-output"
    command = [
        *(sys.executable, "-m", "django", "lab", "run", "--count", str(count), "--accel", "tcg"),
        *("--provision-port", str(ports[0]), "--image-port", str(ports[1])),
    ]
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(data), stdout=file, stderr=file)
    lab = RunningLab(data, process, servers, ports, output)
    try:
        wait_until(lambda: _is_ready(lab), seconds=START_SECONDS, what="the lab")
        yield lab
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)


def environment(data: Path) -> dict[str, str]:
    return os.environ | {"DODAI_DATA": str(data), "DJANGO_SETTINGS_MODULE": "dodaiweb.settings"}


def wait_until(found: Callable[[], Any], *, seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


def _is_ready(lab: RunningLab) -> bool:
    assert lab.process.poll() is None, lab.output.read_text()
    try:
        return bool(lab.status())
    except NotRunning:
        return False


def _listener(server: BootServer) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            agent, port = self.headers.get("User-Agent", ""), self.server.server_address[1]
            server.requests.append(Request(time.time(), port, self.command, self.path, agent, body))
            text = server.answer(self.path)
            self.send_response(200 if text is not None else 404)
            self.send_header("Content-Length", str(len(text or b"")))
            self.end_headers()
            self.wfile.write(text or b"")

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class Tripwire:
    """One port number on every address of this host, TCP and UDP, IPv4 and IPv6: `touched` lists who came."""

    def __init__(self) -> None:
        self.touched: list[str] = []
        tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        udp.bind(("::", self.port))
        self._sockets = [tcp, udp]
        threading.Thread(target=self._accept, args=(tcp,), daemon=True).start()
        threading.Thread(target=self._receive, args=(udp,), daemon=True).start()

    def close(self) -> None:
        for each in self._sockets:
            each.shutdown(socket.SHUT_RDWR) if each.type == socket.SOCK_STREAM else each.close()
        self._sockets[0].close()

    def _accept(self, tcp: socket.socket) -> None:
        while True:
            try:
                connection, peer = tcp.accept()
            except OSError:
                return
            self.touched.append(f"tcp {peer[0]}")
            connection.close()

    def _receive(self, udp: socket.socket) -> None:
        while True:
            try:
                text, peer = udp.recvfrom(100)
            except OSError:
                return
            self.touched.append(f"udp {peer[0]} {text!r}")


def _command_lines() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            yield int(folder.name), line


def dump(lab: RunningLab, name: str) -> str:
    """For a failing test: what the lab and the guest said last."""
    console = Path(lab.machine(name)["console"])
    said = console.read_text(errors="replace")[-3000:] if console.exists() else ""
    return f"lab:\n{lab.output.read_text()}\nconsole:\n{said}"
