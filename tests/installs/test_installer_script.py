"""The script that stands between an installer and the disk, run for real against a server that answers as a test wants.

It may switch its machine off, so it gets programs of that name that only note it.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from installs import scripts

GIVEN = "DODAI_GIVEN=yes\nDODAI_ANSWERS='first line\nsecond line'\nDODAI_BEFORE='echo x'\n"
REFUSED = "DODAI_GRANTED=no\nDODAI_REASON='serial number is X'\n"
SETTINGS = "DODAI_AUTHORIZED_KEYS='ssh-ed25519 AAAA one'\nDODAI_FIRST_BOOT_URL=http://10.0.0.2/first-boot/token\n"
SECONDS = 60


@dataclass
class Listener:
    """Answers each path with (status, text) and keeps who asked for what."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def listener() -> Iterator[Listener]:
    told = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            told.asked.append((self.path, self.headers.get("Authorization", ""), body))
            status, text = told.answers.get(self.path, (200, "{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield told
        server.shutdown()


@pytest.fixture(params=["curl", "wget"])
def run(request, tmp_path, listener) -> Callable[..., str]:
    """Runs the script with some words; returns what the machine did to its power, or ""."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    noting = f"echo off >>{tmp_path}/power"
    for name, does in (("poweroff", noting), ("sleep", "[ $1 != 3600 ] || kill $PPID"), ("chroot", "true")):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    text = scripts.render("installer/install.sh", server=listener.url, token="T0KEN", disk={"serial": "S", "wwn": ""})
    text = text.replace("WORK=/tmp/dodai.d", f"WORK={tmp_path}/work").replace('"/usr/lib/$1', f'"{tmp_path}/hooks/$1')
    text = text.replace("/tmp/dodai ", f"{tmp_path}/none ").replace(">/dev/console", ">/dev/null")
    if request.param == "wget":
        text = text.replace("command -v curl", "command -v no-curl")
    (tmp_path / "script").write_text(text)

    def go(*words: str) -> str:
        path = f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["sh", str(tmp_path / "script"), *words]
        subprocess.run(command, env={"PATH": path}, capture_output=True, timeout=SECONDS, check=False)
        noted = tmp_path / "power"
        return noted.read_text().strip() if noted.exists() else ""

    return go


def test_answers_are_written_as_they_came(run, listener, tmp_path) -> None:
    listener.answers["/answers"] = (200, GIVEN)
    assert run("answers", str(tmp_path / "answers.cfg")) == ""
    assert (tmp_path / "answers.cfg").read_text() == "first line\nsecond line"
    assert [path for path, _who, _body in listener.asked] == ["/event/install", "/answers"]
    assert {who for _path, who, _body in listener.asked} == {"Bearer T0KEN"}
    assert (tmp_path / "hooks/base-installer.d/01dodai").exists()


@pytest.mark.parametrize("answer", [(200, REFUSED), (410, "{}"), (400, "no")])
def test_without_answers_the_machine_goes_off(run, listener, tmp_path, answer) -> None:
    listener.answers["/answers"] = answer
    assert run("answers", str(tmp_path / "answers.cfg")) == "off"
    assert not (tmp_path / "answers.cfg").exists()


def test_a_machine_without_the_planned_disk_goes_off(run, listener) -> None:
    assert run("grant") == "off"
    (path, _who, body) = listener.asked[-1]
    assert path == "/event/failed" and '"cause":"disk"' in body


def test_at_the_end_keys_and_the_first_call_are_in_the_new_system(run, listener, tmp_path) -> None:
    root = tmp_path / "target"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings").write_text(SETTINGS)
    assert run("late", str(root)) == ""
    keys, url = root / "root/.ssh/authorized_keys", root / "etc/dodai/first-boot.url"
    assert keys.read_text() == "ssh-ed25519 AAAA one\n" and url.read_text().endswith("/first-boot/token\n")
    assert (keys.stat().st_mode & 0o777, url.stat().st_mode & 0o777) == (0o600, 0o600)
    link = root / "etc/systemd/system/multi-user.target.wants/dodai-first-boot.service"
    assert str(link.readlink()) == "/etc/systemd/system/dodai-first-boot.service"
    assert _mode(root / "etc/systemd/system") == _mode(root / "etc/dodai") == 0o755
    assert [path for path, _who, _body in listener.asked] == ["/event/install_reboot"]


def test_without_a_system_nothing_is_said_to_be_installed(run, listener, tmp_path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings").write_text(SETTINGS)
    assert run("late", str(tmp_path / "none")) == "off"
    assert [path for path, _who, _body in listener.asked] == ["/event/failed"]


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
