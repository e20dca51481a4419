"""Redfish BMCs on loopback: sushy-emulator as a process, and a paper one whose every answer a test can bend."""

import contextlib
import datetime
import hashlib
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from machines.power.base import BmcEndpoint
from tests import ports

PASSWORD = "hunter2-hunter2-hunter2"
SYSTEM_ID = "27946b59-9e44-4fa7-8e91-f3527a1ef094"
# The emulator switches after one to eleven seconds, by chance; here it does so at once.
START_EMULATOR = "import random; random.randint = lambda a, b: 0; from sushy_tools.emulator.main import main; main()"


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path
    fingerprint: str


def make_certificate(folder: Path, name: str = "bmc") -> Certificate:
    """Signed by itself, as a BMC's out of the box."""
    key, moment = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - datetime.timedelta(days=1)).not_valid_after(moment + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(file, key_file, hashlib.sha256(signed.public_bytes(serialization.Encoding.DER)).hexdigest())


@contextlib.contextmanager
def running_emulator(folder: Path, *, systems: int = 1) -> Iterator[BmcEndpoint]:
    """sushy-emulator with HTTPS and a password, its machines off."""
    certificate, port = make_certificate(folder), ports.free()[0]
    (folder / "users").write_text(f"admin:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    machines = [
        {"uuid": SYSTEM_ID[:-1] + str(4 + number), "name": f"m{number}", "power_state": "Off", "nics": []}
        for number in range(systems)
    ]
    (folder / "emulator.conf").write_text(
        f"SUSHY_EMULATOR_AUTH_FILE = {str(folder / 'users')!r}\n"
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder)!r}\n"
        f"SUSHY_EMULATOR_FAKE_SYSTEMS = {machines!r}\n"
    )
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", START_EMULATOR, "--fake", "-i", "127.0.0.1",
         "-p", str(port), "--config", str(folder / "emulator.conf"),
         "--ssl-certificate", str(certificate.file), "--ssl-key", str(certificate.key)],
        stdout=subprocess.DEVNULL, stderr=(folder / "emulator.log").open("wb"), cwd=folder,
    )  # fmt: skip
    try:
        _wait_for(port, process)
        yield BmcEndpoint(
            "node1", "redfish", "127.0.0.1", port, username="admin", password=PASSWORD,
            tls_fingerprint=certificate.fingerprint,
        )  # fmt: skip
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < end, "sushy-emulator did not start"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)


@dataclass
class PaperRedfish:
    """What the paper BMC is like. `bend` may answer any request in its own way, by writing to the handler."""

    system: dict[str, Any] = field(default_factory=lambda: paper_system())
    etag: str = 'W/"1"'
    wants_etag: str = '"1"'
    has_sessions: bool = True
    open_sessions: list[str] = field(default_factory=list)
    most_sessions: int = 0
    patches: list[dict[str, Any]] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    bend: Callable[["Handler"], bool] = lambda handler: False


def paper_system() -> dict[str, Any]:
    return {
        "@odata.id": "/redfish/v1/Systems/1", "PowerState": "Off", "UUID": "00000000-0000-0000-0000-000000000001",
        "SerialNumber": "SN1",
        "Boot": {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None",
                 "BootSourceOverrideMode": "UEFI",
                 "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd"]},
        "Actions": {"#ComputerSystem.Reset": {"target": "/redfish/v1/Systems/1/Actions/Reset",
                                              "@Redfish.ActionInfo": "/redfish/v1/Systems/1/ResetInfo"}},
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    paper: PaperRedfish
    body: dict[str, Any]

    def _any(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.paper.asked.append(f"{self.command} {self.path}")
        if not self.paper.bend(self):
            self._answer()

    do_GET = do_POST = do_PATCH = do_DELETE = _any

    def log_message(self, *args: object) -> None: ...

    def reply(self, status: int, body: object = None, **headers: str) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer(self) -> None:
        paper, sessions = self.paper, "/redfish/v1/SessionService/Sessions"
        links = {"Links": {"Sessions": {"@odata.id": sessions}}} if paper.has_sessions else {}
        if self.path == "/redfish/v1/":
            return self.reply(200, {"Systems": {"@odata.id": "/redfish/v1/Systems"}, "RedfishVersion": "1.6.0"} | links)
        if self.command == "POST" and self.path == sessions:
            return self._log_in(sessions)
        if not self._may():
            return self.reply(401, {"error": {"message": "who are you?"}})
        match (self.command, self.path):
            case ("DELETE", path):
                paper.open_sessions.remove(path)
                return self.reply(204)
            case ("GET", "/redfish/v1/Systems"):
                return self.reply(200, {"Members": [{"@odata.id": "/redfish/v1/Systems/1"}]})
            case ("GET", "/redfish/v1/Systems/1"):
                return self.reply(200, paper.system, ETag=paper.etag)
            case ("GET", "/redfish/v1/Systems/1/ResetInfo"):
                values = ["On", "ForceOff", "ForceRestart", "PushPowerButton"]
                return self.reply(200, {"Parameters": [{"Name": "ResetType", "AllowableValues": values}]})
            case ("PATCH", "/redfish/v1/Systems/1"):
                if self.headers.get("If-Match") != paper.wants_etag:
                    return self.reply(412, {"error": {"message": "etag"}})
                paper.patches.append(self.body["Boot"])
                paper.system["Boot"] |= self.body["Boot"]
                return self.reply(200, paper.system)
            case ("POST", "/redfish/v1/Systems/1/Actions/Reset"):
                paper.resets.append(self.body["ResetType"])
                paper.system["PowerState"] = "Off" if self.body["ResetType"] == "ForceOff" else "On"
                return self.reply(204)
        return self.reply(404, {"error": {"message": "no such thing"}})

    def _log_in(self, sessions: str) -> None:
        if (self.body["UserName"], self.body["Password"]) != ("admin", PASSWORD):
            return self.reply(401, {"error": {"message": f"bad password {self.body['Password']}"}})
        path = f"{sessions}/{len(self.paper.asked)}"
        self.paper.open_sessions.append(path)
        self.paper.most_sessions = max(self.paper.most_sessions, len(self.paper.open_sessions))
        return self.reply(201, {"@odata.id": path}, X_Auth_Token="token-" + path[-1], Location=path)

    def _may(self) -> bool:
        if self.paper.has_sessions:
            return (self.headers.get("X-Auth-Token") or "").startswith("token-")
        return (self.headers.get("Authorization") or "").startswith("Basic ")


@contextlib.contextmanager
def running_paper(folder: Path, certificate: Certificate | None = None) -> Iterator[tuple[PaperRedfish, BmcEndpoint]]:
    paper, certificate = PaperRedfish(), certificate or make_certificate(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("PaperHandler", (Handler,), {"paper": paper}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield paper, BmcEndpoint(
            "node7", "redfish", "127.0.0.1", server.server_address[1], username="admin", password=PASSWORD,
            tls_fingerprint=certificate.fingerprint,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
