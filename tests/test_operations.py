"""What docs/operations.md and its examples say is tried: nginx in front, systemd's units, every setting."""

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ports, scenes
from tests.serving import served

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples"
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
NAME = "dodai.example.org"
SETTING = re.compile(r"\bDODAI_[A-Z_]+\b")
NOT_FOR_OPERATORS = {
    "DODAI_BOOTSTRAP_PID",
    "DODAI_TEST_SQLITE",
    "DODAI_CHROMIUM",
    "DODAI_GUARANTEES",
    "DODAI_GUARANTEES_ONLY",
    "DODAI_GUARANTEES_UNTIL",
}
ENVIRONMENT = {
    "ALLOWED_HOSTS": [NAME], "CSRF_TRUSTED_ORIGINS": [f"https://{NAME}"], "SESSION_COOKIE_SECURE": True,
    "CSRF_COOKIE_SECURE": True,
}  # fmt: skip


def read_settings() -> set[str]:
    """The variables that Dodai's own Python reads; those of the scripts are for machines."""
    named = set()
    for folder in ("dodaiweb", "machines", "installs", "lab"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            if "environ" in text or path.name == "access.py":
                named |= set(re.findall(r'["\'](DODAI_[A-Z_]+)["\']', text))
    return named - NOT_FOR_OPERATORS


def test_every_setting_is_described_and_every_described_one_is_read():
    described = set(SETTING.findall((ROOT / "docs" / "operations.md").read_text()))
    assert read_settings() - described == set()
    assert described - read_settings() == set()


def test_the_example_of_the_environment_names_settings_that_exist():
    assert set(SETTING.findall((EXAMPLES / "dodai.env").read_text())) <= read_settings()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("name", ["dodai.service", "dodai@web.service", "dodai-worker@1.service", "dodai.target"])
def test_systemd_finds_nothing_wrong_with_the_units(name, tmp_path):
    text = (EXAMPLES / "systemd" / re.sub(r"@\w+", "@", name)).read_text()
    for there, here in (("/opt/dodai", str(tmp_path)), ("=dodai\n", "=root\n")):
        text = text.replace(there, here)
    (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", ["dodai.service", "dodai@.service", "dodai-worker@.service"])
def test_the_units_start_commands_that_exist(name):
    text = (EXAMPLES / "systemd" / name).read_text()
    command = re.search(r"manage\.py (\S+)", text)
    assert command
    names = ["web", "provision", "images", "watchdog", "poll_power"] if command[1] == "%i" else [command[1]]
    from django.core.management import get_commands

    assert set(names) <= set(get_commands())


@pytest.fixture
def behind_nginx(transactional_db, settings, tmp_path) -> Iterator[int]:
    """The port of the example's nginx, with a certificate of its own, in front of the pages."""
    if not NGINX:
        pytest.skip("no nginx: sudo apt-get install nginx")
    scenes.restore_groups()
    for name, value in ENVIRONMENT.items():
        setattr(settings, name, value)
    from dodaiweb.asgi import application

    with served(application) as pages:
        port, plain = ports.free(2)
        conf = written(tmp_path, pages=pages, port=port, plain=plain)
        checked = subprocess.run(
            [NGINX, "-t", "-c", str(conf)], capture_output=True, text=True, timeout=30, check=False
        )
        assert checked.returncode == 0, checked.stderr
        server = subprocess.Popen([NGINX, "-c", str(conf)], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield port
        finally:
            server.terminate()
            server.wait(timeout=60)


def written(folder: Path, *, pages: int, port: int, plain: int) -> Path:
    """The example, with the ports and paths of a test."""
    text = (EXAMPLES / "nginx.conf").read_text()
    text = re.sub(r"    listen \[::\]:\d+.*;\n", "", text)
    for there, here in (
        ("127.0.0.1:8000", f"127.0.0.1:{pages}"), ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80", f"listen 127.0.0.1:{plain}"), ("/etc/ssl/dodai", str(folder)),
    ):  # fmt: skip
        assert there in text
        text = text.replace(there, here)
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*certificate, *files], check=True, capture_output=True, timeout=60)
    conf = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    around = f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    conf.write_text(f"{around}http {{\naccess_log off;\n{temporary}{text}\n}}\n")
    return conf


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def ask(port: int, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
    context = ssl._create_unverified_context()  # noqa: S323 - a certificate made for this test
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    connection.request(method, path, body=body or None, headers={"Host": NAME} | headers)
    return connection.getresponse()


def cookies_of(answer: http.client.HTTPResponse) -> dict[str, str]:
    pairs = (line.split(";")[0].partition("=") for line in answer.headers.get_all("Set-Cookie") or [])
    return {name: value for name, _, value in pairs}


def test_logging_in_through_nginx(behind_nginx):
    scenes.make_user("viewer", password="secret-for-tests")
    page = ask(behind_nginx, "GET", "/login/")
    assert page.headers["Strict-Transport-Security"]
    cookies = cookies_of(page)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
    form = f"csrfmiddlewaretoken={token[1]}&username=viewer&password=secret-for-tests"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{NAME}", "Referer": f"https://{NAME}/login/",
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
    }  # fmt: skip
    answer = ask(behind_nginx, "POST", "/login/", form, **headers)
    assert (answer.status, answer.headers["Location"]) == (302, "/")
    session = next(line for line in answer.headers.get_all("Set-Cookie") if line.startswith("dodai_session"))
    assert "Secure" in session
    assert "HttpOnly" in session


def test_events_come_through_nginx_at_once(behind_nginx, settings):
    from machines import doorbell

    session = scenes.session_of(scenes.make_user("viewer"))
    stream = ask(behind_nginx, "GET", "/events/", Cookie=f"dodai_session={session}", Origin=f"https://{NAME}")
    assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    read_until(stream, b'{"all":true}')
    doorbell.tell_pages(machine=7)
    read_until(stream, b'"machine": 7')


def read_until(stream: http.client.HTTPResponse, wanted: bytes) -> None:
    deadline = time.monotonic() + 60
    while wanted not in stream.readline():
        assert time.monotonic() < deadline


def test_plain_http_leads_to_https_and_other_names_nowhere(behind_nginx, tmp_path):
    assert ask(behind_nginx, "GET", "/login/", Host="evil.example").status == 400
    plain = int(re.search(r"listen 127.0.0.1:(\d+);", (tmp_path / "nginx.conf").read_text())[1])
    connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=60)
    connection.request("GET", "/machines/", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}/machines/")


def test_the_copy_of_a_running_sqlite_is_whole(tmp_path):
    """The command of the backup, as it is printed."""
    import sqlite3

    text = (ROOT / "docs" / "operations.md").read_text()
    command = re.search(r"^python3 -c '(.*VACUUM INTO.*)' (\S+) (\S+)$", text, re.MULTILINE)
    source, copy = tmp_path / "dodai.sqlite3", tmp_path / "copy.sqlite3"
    writer = sqlite3.connect(source)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (n)")
    writer.execute("INSERT INTO t VALUES (7)")
    writer.commit()
    subprocess.run(["python3", "-c", command[1], str(source), str(copy)], check=True, timeout=60)
    assert sqlite3.connect(copy).execute("SELECT n FROM t").fetchall() == [(7,)]
