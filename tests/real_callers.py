"""Machines that talk to a real provisioning listener: live installs in a data folder, and light clients for them.

The machines have no BMC, so that nothing but their own words moves their installs.
python3 -m tests.real_callers COUNT   (with DODAI_DATA and DODAI_PROVISION_URL) starts COUNT installs and prints MACs.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.real_up import Up

ROOT = Path(__file__).resolve().parent.parent
PER_SITE = 32  # a site lets 40 installs go on at once
TOTAL_BYTES = 64 << 30


@dataclass
class Caller:
    """One machine, at `port` of this computer, from its boot answer to its last word."""

    port: int
    mac: str
    token: str = ""
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def boot(self) -> None:
        answer = self.ask("GET", f"/boot.ipxe?mac={self.mac}")[1]
        boot_token = answer.partition("/script/")[2].split()[0]
        form = f"boot_id={self.boot_id}"
        status, script = self._ask_until_heard("POST", f"/script/{boot_token}", form, form=True)
        assert status == 200, (status, script[:200])
        self.token = script.partition("Bearer %s\\n' ")[2].split()[0]

    def say(self, name: str, data: object = None) -> int:
        return self.ask("POST", f"/event/{name}", json.dumps(data or {}))[0]

    def say_until_heard(self, name: str) -> None:
        status, words = self._ask_until_heard("POST", f"/event/{name}", "{}")
        assert status == 200, (status, words)

    def install_wholly(self) -> None:
        """All that a machine says while it is installed, after its boot."""
        assert self.say("install") == 200
        number = int(self.mac.rpartition(":")[2], 16)
        disk = {"path": "/dev/sda", "serial": f"DISK{number}", "wwn": "", "size_bytes": 100 << 30, "signatures": []}
        facts = {
            "boot_id": self.boot_id, "serial": f"SN{number}", "uuid": str(uuid.UUID(int=number << 64 | 7)),
            "interfaces": [{"name": "eth0", "mac": self.mac}], "disks": [disk], "disk": disk,
        }  # fmt: skip
        status, granted = self.ask("POST", "/grant", json.dumps(facts))
        assert (status, "DODAI_GRANTED=yes" in granted) == (200, True), granted
        assert self.say("progress", {"phase": "copy", "done_bytes": 5, "total_bytes": 9}) == 200
        assert self.say("install_reboot") == 200
        path = granted.partition("/first-boot/")[2].split()[0].strip("'")
        assert self.ask("POST", f"/first-boot/{path}")[0] == 200

    def _ask_until_heard(self, method: str, path: str, body: str, *, form: bool = False) -> tuple[int, str]:
        """As machines do; all callers share one address, of which only so many calls a second are taken."""
        for _ in range(20):
            answer = self.ask(method, path, body, form=form)
            if answer[0] != HTTPStatus.TOO_MANY_REQUESTS:
                break
            time.sleep(1)
        return answer

    def ask(self, method: str, path: str, body: str = "", *, form: bool = False) -> tuple[int, str]:
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def event(self, name: str, data: object) -> bytes:
        """The bytes of one event, for a connection that is kept."""
        return request(f"/event/{name}", self.token, data if isinstance(data, bytes) else json.dumps(data).encode())

    def progress(self, done: int) -> bytes:
        return self.event("progress", {"phase": "fetch", "done_bytes": done, "total_bytes": TOTAL_BYTES})


def request(path: str, token: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: dodai\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def exchange(connection: socket.socket, words: bytes) -> int:
    """Send one request and read its whole answer; the status."""
    connection.sendall(words)
    answer = b""
    while not is_whole(answer):
        chunk = connection.recv(65536)
        assert chunk, f"closed after {answer!r}"
        answer += chunk
    return int(answer[9:12])


def is_whole(answer: bytes) -> bool:
    """Whether it holds one answer to its end; all of the listener's tell their length."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return len(body) >= int(length or 0)


@contextmanager
def real_dodai(data: Path, *, machines: int) -> Iterator[tuple[Up, list[Caller]]]:
    """A real `up` without practice servers, and so many machines whose installs wait for their first boot."""
    with Up(data, options=("--no-lab", "--workers", "1")) as up:
        up.wait_ready()
        yield up, start_installs(up, machines)


def start_installs(up: Up, count: int) -> list[Caller]:
    done = manage(up, sys.executable, "-m", "tests.real_callers", str(count))
    return [Caller(up.ports[1], mac) for mac in done.split()]


def states(up: Up) -> dict[str, str]:
    """The state of each machine's newest install, by MAC."""
    code = (
        "import json; from installs.models import Install; from django.db.models import F; "
        "print(json.dumps(dict(Install.objects.order_by('pk').values_list('machine__interfaces__mac', 'state'))))"
    )
    printed = manage(up, sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", code)
    found: dict[str, str] = json.loads(printed.strip().splitlines()[-1])
    return found


def manage(up: Up, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DODAI_", "DJANGO_"))}
    environment |= {"DODAI_DATA": str(up.data), "DODAI_PROVISION_URL": f"http://127.0.0.1:{up.ports[1]}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _start(count: int) -> list[str]:
    from unittest import mock

    from installs import actions, flow
    from installs.models import Image
    from machines.models import Machine, Site
    from tests import installing

    image = Image.objects.first() or installing.make_image()
    macs = []
    first = Machine.objects.count() + 1
    for number in range(first, first + count):
        machine = installing.make_machine(f"node{number}", driver="manual", number=number)
        machine.site = Site.objects.update_or_create(
            name=f"hall{number // PER_SITE}",
            defaults={"provision_url": "http://10.0.0.2:8001", "image_url": "http://10.0.0.2:8002"},
        )[0]
        machine.save()
        with mock.patch("installs.ramdisk.latest", return_value=installing.RAMDISK):
            actions.start_install(machine, image, by=f"user{number // 20}")  # one may not start many in an hour
        macs.append(machine.interfaces.get().mac)
    flow.begin_next()
    while flow.run_due():
        pass
    return macs


def _main(arguments: list[str]) -> Any:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dodaiweb.settings")
    django.setup()
    print("\n".join(_start(int(arguments[0]))))


if __name__ == "__main__":
    _main(sys.argv[1:])
