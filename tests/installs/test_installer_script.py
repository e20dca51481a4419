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
SETTINGS = (
    "DODAI_AUTHORIZED_KEYS='ssh-ed25519 AAAA one'\nDODAI_FIRST_BOOT_URL=http://10.0.0.2/first-boot/token\n"
    "DODAI_SIGN=dodai-X_y-7\nDODAI_ACCOUNTS=\nDODAI_FIRST_BOOT_COMMANDS=\nDODAI_NETWORK='52:54:00:00:00:01 dhcp'\n"
)
SECONDS = 60


@dataclass
class Listener:
    """Answers each path with (status, text) and keeps who asked for what.

    `before` has, for a path, answers that come first: a status alone wants to be asked again in 7 s, "half" breaks off.
    `meanwhile` is called while the last byte of the answer to a path is still to come.
    """

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    before: dict[str, list[int | str]] = field(default_factory=dict)
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
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
            first = told.before[self.path].pop(0) if told.before.get(self.path) else None
            self.send_response(first if isinstance(first, int) else status)
            if isinstance(first, int):
                self.send_header("Retry-After", "7")
                text = ""
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2 if first else -1].encode())
            if first:
                return
            if meanwhile := told.meanwhile.pop(self.path, None):
                meanwhile()
            self.wfile.write(text[-1:].encode())

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
    for name, does in (
        ("poweroff", noting),
        ("sleep", f"echo $1 >>{tmp_path}/sleeps; [ $1 != 3600 ] || kill $PPID"),
        ("chroot", "true"),
    ):
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


@pytest.mark.parametrize("has_server", [True, False])
def test_an_ssh_server_of_the_new_system_is_told_the_sign(run, listener, tmp_path, has_server) -> None:
    root = tmp_path / "target"
    for folder in ("etc", "usr/sbin", "work"):
        (root / folder).mkdir(parents=True)
    if has_server:
        (root / "usr/sbin/sshd").touch()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings").write_text(SETTINGS)
    assert run("late", str(root)) == ""
    written = root / "etc/ssh/sshd_config.d/00-dodai.conf"
    assert written.exists() == has_server
    assert not has_server or "VersionAddendum dodai-X_y-7\n" in written.read_text()
    assert "sshd_config.d/00-dodai.conf" in (root / "etc/dodai/first-boot").read_text(), "the first call takes it away"


def test_a_sick_dodai_is_asked_again_when_it_wants(run, listener, tmp_path) -> None:
    listener.answers["/answers"] = (200, GIVEN)
    listener.before["/event/install"] = [503, 429]
    listener.before["/answers"] = ["half", 503]
    assert run("answers", str(tmp_path / "answers.cfg")) == ""
    assert (tmp_path / "answers.cfg").read_text() == "first line\nsecond line"
    assert [path for path, _who, _body in listener.asked] == ["/event/install"] * 3 + ["/answers"] * 3
    assert (tmp_path / "sleeps").read_text().split()[:4] == ["7", "7", "1", "7"]


def test_what_the_heartbeat_is_told_is_not_taken_for_the_answers(run, listener, tmp_path) -> None:
    listener.answers["/answers"] = (200, GIVEN)
    listener.meanwhile["/answers"] = lambda: run("phase", "base")
    assert run("answers", str(tmp_path / "answers.cfg")) == ""
    assert (tmp_path / "answers.cfg").read_text() == "first line\nsecond line"
    assert [path for path, _who, _body in listener.asked] == ["/event/install", "/answers", "/event/progress"]


def test_without_a_system_nothing_is_said_to_be_installed(run, listener, tmp_path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings").write_text(SETTINGS)
    assert run("late", str(tmp_path / "none")) == "off"
    assert [path for path, _who, _body in listener.asked] == ["/event/failed"]


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
