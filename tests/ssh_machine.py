"""A machine's OS with a real SSH server, in namespaces: its names, files and cards are its own, and /usr is read-only.

The test itself takes the connections, on loopback, and gives each to an `sshd -i` inside.
"""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab import needs

SET_UP = """\
set -e
mount --bind /usr /usr && mount -o remount,ro,bind /usr
if [ -d "$1/sbin" ]; then mount -t overlay overlay -o "ro,lowerdir=$1/sbin:/usr/sbin" /usr/sbin; fi
cp -a /etc/alternatives /etc/ld.so.cache "$1/etc/"
for folder in etc root home run; do mount --bind "$1/$folder" "/$folder"; done
echo ready
exec sleep infinity
"""
PASSWD = """\
root:x:0:0:root:/root:/etc/login-shell
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
debian:x:1000:1000::/home/debian:/bin/sh
"""
SHELL = """\
#!/bin/sh
number=$(($(cat /run/logins 2>/dev/null || echo 0) + 1))
echo "$number" >/run/logins
case $number in
{when})
    {does}
    ;;
esac
exec /bin/sh "$@"
"""


def key_pair() -> tuple[str, str]:
    """The private half in OpenSSH's format, and type and base64 of the public one."""
    pair = Ed25519PrivateKey.generate()
    private = pair.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, pair.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@dataclass
class SshMachine:
    """`servers` are the SSH servers of the connections so far. `stops_them`: they stand still from their beginning."""

    folder: Path
    port: int = 0
    host_key: str = ""
    space: int = 0
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    stops_them: bool = False

    def path(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    def text(self, name: str) -> str:
        return self.path(name).read_text()

    def let_in(self, *public_keys: str) -> None:
        self.path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
        self.path("/root/.ssh/authorized_keys").write_text("".join(f"{key}\n" for key in public_keys))

    def misbehaves(self, does: str, *, when: str = "*") -> None:
        """At which commands (1 is the first), and what its shell then does before it goes on."""
        self.path("/etc/login-shell").write_text(SHELL.format(when=when, does=does))
        self.path("/run/logins").unlink(missing_ok=True)

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.space}", "--mount", "--uts", "--net", "--", *command]

    def hostname(self) -> str:
        asked = subprocess.run(self.inside("hostname"), capture_output=True, text=True, timeout=60, check=True)
        return asked.stdout.strip()

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is closed at the end
            while True:
                connection, _ = listener.accept()
                with connection:
                    self.servers.append(self._server(connection))

    def _server(self, connection: socket.socket) -> subprocess.Popen[bytes]:
        sshd = needs.program("sshd")
        assert sshd, "openssh-server is not installed"
        command = self.inside(sshd, "-i", "-f", str(self.path("sshd_config")), "-E", str(self.path("log")))
        stopped = ["sh", "-c", 'kill -STOP $$; exec "$@"', "sh"] if self.stops_them else []
        return subprocess.Popen([*stopped, *command], stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)


@contextmanager
def running(folder: Path, *, programs: dict[str, str] | None = None) -> Iterator[SshMachine]:
    """`programs` are shell scripts that it has in /usr/sbin beside those of this computer."""
    machine = SshMachine(folder)
    _fill(machine, programs or {})
    command = ["unshare", "--mount", "--uts", "--net", "sh", "-c", SET_UP, "sh", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as space, socket.socket() as listener:
        try:
            assert space.stdout is not None and space.stdout.readline() == "ready\n"
            machine.space = space.pid
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            machine.port = listener.getsockname()[1]
            Thread(target=machine.serve, args=(listener,), daemon=True).start()
            yield machine
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for server in machine.servers:
                server.kill()
                server.wait(timeout=60)
            space.kill()


def _fill(machine: SshMachine, programs: dict[str, str]) -> None:
    for name in ("etc", "root", "home/debian/.ssh", "run/sshd"):
        machine.path(name).mkdir(parents=True, exist_ok=True)
    for path in (machine.folder, *(machine.path(name) for name in ("etc", "run", "run/sshd", "home"))):
        path.chmod(0o755)
    machine.path("root").chmod(0o700)
    private, machine.host_key = key_pair()
    key = machine.path("host_key")
    key.touch(mode=0o600)
    key.write_text(private)
    machine.path("sshd_config").write_text(
        f"HostKey {key}\nPidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\n"
        "KbdInteractiveAuthentication no\n"
    )
    machine.path("etc/passwd").write_text(PASSWD)
    machine.path("etc/group").write_text("root:x:0:\nnogroup:x:65534:\ndebian:x:1000:\n")
    machine.path("etc/shadow").write_text("root:*:19000::::::\nsshd:!:19000::::::\ndebian:!:19000::::::\n")
    machine.misbehaves(":", when="none")
    machine.path("etc/login-shell").chmod(0o755)
    for name, text in programs.items():
        machine.path("sbin").mkdir(exist_ok=True)
        machine.path(f"sbin/{name}").write_text(f"#!/bin/sh\n{text}\n")
        machine.path(f"sbin/{name}").chmod(0o755)


def can_run() -> bool:
    return os.geteuid() == 0 and shutil.which("unshare") is not None and needs.program("sshd") is not None
