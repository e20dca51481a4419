"""Imports of images: by upload, URL and path; what is refused, what is gone on with, what is left behind (nothing)."""

import hashlib
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from ipaddress import ip_network
from unittest import mock

import pytest
from django.db import OperationalError
from django.utils.timezone import now

from dodaiweb import outbound
from installs.images import fetching, importer, imports
from installs.images.intake import image_path, incoming
from installs.models import Image, ImageImport
from tests import image_files

pytestmark = pytest.mark.django_db(transaction=True)
LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture(autouse=True)
def store(settings, tmp_path):
    shutil.copytree(settings.DATA / "keys", tmp_path / "data" / "keys")  # URLs are sealed
    settings.DATA = tmp_path / "data"
    settings.IMAGE_FOLDERS = [tmp_path / "open"]
    settings.IMAGE_NETWORKS = LOOPBACK
    (tmp_path / "open").mkdir()
    return settings.DATA / "images"


@pytest.fixture
def archive(tmp_path):
    return image_files.tar_zst(tmp_path / "open" / "tree.tar.zst")


@pytest.fixture
def server():
    """A web server on loopback: `content` by path; what it was asked stands in `asked`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.server.asked.append(dict(self.headers))
            answer = self.server.answers[self.path]
            if callable(answer):
                return answer(self)
            self.send(answer)

        def send(self, data, *, cut=None, status=200, **headers):
            at = 0
            if "Range" in self.headers and self.headers.get("If-Range") == '"v1"':
                at, status = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
                headers["Content-Range"] = f"bytes {at}-{len(data) - 1}/{len(data)}"
            self.send_response(status)
            for name, value in (
                {"ETag": '"v1"', "Content-Length": len(data) - at, "Connection": "close"} | headers
            ).items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data[at:] if cut is None else data[at:cut])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.answers, served.asked = {}, []
        served.url = f"http://127.0.0.1:{served.server_port}"
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


def run(wanted: ImageImport) -> ImageImport:
    importer.turn()
    wanted.refresh_from_db()
    return wanted


def send(wanted: ImageImport, data: bytes, *, part: int = 20_000) -> None:
    for at in range(0, len(data), part):
        imports.receive_part(wanted.pk, at, data[at : at + part])


def left() -> list[str]:
    return sorted(path.name for path in incoming().glob("*"))


def test_a_file_of_the_server_becomes_an_image(archive, store):
    done = run(imports.ask_path("tree", str(archive), by="ada", swap_mib=64))
    assert (done.state, done.error, done.image.name) == ("done", "", "tree")
    assert (done.image.imported_by, done.image.swap_mib, done.image.source) == ("ada", 64, str(archive))
    assert done.image.report["os_id"] == "debian"
    assert hashlib.sha256(image_path(done.image.sha256).read_bytes()).hexdigest() == done.image.sha256
    assert left() == []


def test_an_image_of_somebody_named_debian_12_is_left_alone(archive, store):
    """Only what was built here makes way for the next build."""
    taken = run(imports.ask_path("debian-12", str(archive), by="ada")).image
    assert not imports.wants_debian()
    with pytest.raises(imports.Refused, match="there is an image 'debian-12' already"):
        imports.ask_debian(by="ada")
    Image.objects.filter(pk=taken.pk).update(recipe="an older one")
    assert imports.wants_debian()
    assert imports.ask_debian(by="ada").state == "waiting"


def test_an_upload_arrives_in_parts_and_becomes_an_image(archive):
    data = archive.read_bytes()
    wanted = imports.ask_upload("up", "C:\\x/../../evil.tar.zst", len(data), by="ada")
    assert importer.turn() is False
    send(wanted, data)
    done = run(wanted)
    assert (done.state, done.location, left()) == ("done", "evil.tar.zst", [])
    assert image_path(done.image.sha256).read_bytes() == data


def test_an_upload_goes_on_where_it_is_and_nowhere_else(archive):
    data = archive.read_bytes()
    wanted = imports.ask_upload("up", "x", len(data), by="ada")
    assert imports.receive_part(wanted.pk, 0, data[:100]) == 100
    for wrong in (0, 99, 101):
        with pytest.raises(imports.OutOfPlace) as told:
            imports.receive_part(wanted.pk, wrong, b"x")
        assert told.value.held == 100
    with pytest.raises(imports.Refused, match="longer than was said"):
        imports.receive_part(wanted.pk, 100, bytes(len(data)))
    imports.receive_part(wanted.pk, 100, data[100:])
    assert run(wanted).state == "done"


def test_a_part_of_an_ended_upload_is_refused_and_its_bytes_go(archive):
    wanted = imports.ask_upload("up", "x", 1000, by="ada")
    imports.receive_part(wanted.pk, 0, b"x" * 10)
    imports.cancel(wanted, by="ada")
    with pytest.raises(imports.Refused, match="not going on"):
        imports.receive_part(wanted.pk, 10, b"x")
    os.utime(imports.part_file(wanted), (0, 0))
    importer.tidy()
    assert left() == []


def test_an_upload_goes_on_behind_what_is_really_on_the_disk(archive):
    """A power cut keeps the row, which was synced, and not the end of the file, which was not."""
    data = archive.read_bytes()
    wanted = imports.ask_upload("up", "x", len(data), by="ada")
    imports.receive_part(wanted.pk, 0, data[:100])
    os.truncate(imports.part_file(wanted), 60)
    with pytest.raises(imports.OutOfPlace) as told:
        imports.receive_part(wanted.pk, 100, data[100:])
    imports.receive_part(wanted.pk, told.value.held, data[told.value.held :])
    done = run(wanted)
    assert image_path(done.image.sha256).read_bytes() == data


def test_whoever_lost_an_import_leaves_its_file_to_the_next(server, monkeypatch):
    monkeypatch.setattr(importer, "BEAT_SECONDS", 0.05)

    def slow(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000000")
        handler.end_headers()
        ImageImport.objects.update(owner="another process", lease_until=now() + importer.LEASE)
        for _ in range(10_000):
            handler.wfile.write(bytes(1000))
            time.sleep(0.02)

    server.answers["/x"] = slow
    done = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (done.state, done.owner) == ("running", "another process")
    assert imports.part_file(done).exists()


def test_an_import_outlives_a_moment_without_its_database(server, archive, monkeypatch):
    monkeypatch.setattr(importer, "BEAT_SECONDS", 0.05)
    beat, failures, is_back = importer.Work.beat, iter(range(3)), threading.Event()

    def sometimes(work):
        if next(failures, None) is not None:
            raise OperationalError("database is locked")
        beat(work)
        is_back.set()

    def slow(handler):
        is_back.wait(60)
        handler.send(archive.read_bytes())

    monkeypatch.setattr(importer.Work, "beat", sometimes)
    server.answers["/x"] = slow
    done = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (done.state, next(failures, None)) == ("done", None)
    assert done.progress_at is not None


def test_a_silent_upload_ends():
    wanted = imports.ask_upload("up", "x", 1000, by="ada")
    ImageImport.objects.update(progress_at=now() - timedelta(hours=2))
    assert (run(wanted).state, "stopped" in wanted.error) == ("failed", True)


@pytest.mark.parametrize("size", [0, -1, imports.MAX_UPLOAD_BYTES + 1])
def test_an_upload_of_an_absurd_size_is_refused(size):
    with pytest.raises(imports.Refused):
        imports.ask_upload("up", "x", size, by="ada")
    assert not ImageImport.objects.exists()


def test_a_url_becomes_an_image_and_no_secret_of_it_is_kept_in_the_image(server, archive):
    server.answers["/tree.tar.zst?key=secret"] = archive.read_bytes()
    done = run(imports.ask_url("web", f"{server.url}/tree.tar.zst?key=secret", by="ada"))
    assert (done.state, done.error, left()) == ("done", "", [])
    assert "secret" not in done.image.source
    assert not {"Cookie", "Authorization"} & set(server.asked[0])


def test_a_fetch_that_breaks_off_goes_on_where_it_stopped(server, archive):
    data = archive.read_bytes()
    server.answers["/x"] = lambda handler: handler.send(data, cut=300)
    wanted = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (wanted.state, wanted.again_at > now()) == ("waiting", True)
    server.answers["/x"] = data
    ImageImport.objects.update(again_at=None)
    assert run(wanted).state == "done"
    assert server.asked[1]["Range"] == "bytes=300-"


def test_another_version_of_the_file_is_fetched_from_its_beginning(server, archive):
    data = archive.read_bytes()
    server.answers["/x"] = lambda handler: handler.send(b"old" * 500, cut=300, ETag='"old"')
    wanted = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    server.answers["/x"] = data
    ImageImport.objects.update(again_at=None)
    assert run(wanted).state == "done"


def test_a_fetch_gives_up_in_the_end(server, monkeypatch):
    monkeypatch.setattr(importer, "PAUSES", (timedelta(0),))
    server.answers["/x"] = lambda handler: handler.send(b"", status=503)
    wanted = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert wanted.state == "waiting"
    assert (run(wanted).state, wanted.error, left()) == ("failed", "127.0.0.1 answered HTTP 503", [])


@pytest.mark.parametrize("status", [401, 404])
def test_what_is_not_there_fails_at_once(server, status):
    server.answers["/x"] = lambda handler: handler.send(b"", status=status)
    assert run(imports.ask_url("web", f"{server.url}/x", by="ada")).state == "failed"


def test_an_endless_answer_is_stopped(server, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_BYTES", 1 << 20)

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    server.answers["/x"] = endless
    done = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (done.state, "larger than" in done.error, left()) == ("failed", True, [])


def test_a_server_that_drips_is_given_up(server, monkeypatch):
    monkeypatch.setattr(fetching, "WINDOW_SECONDS", 0.3)

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    server.answers["/x"] = drip
    done = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (done.state, "bytes a second" in done.error) == ("waiting", True)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/x", "http://user:pass@127.0.0.1/x", "http://", "x",
    "http://127.0.0.1/a b", "http://127.0.0.1/a\r\nHost: x", "http://[::1", "http://127.0.0.1:99999/",
])  # fmt: skip
def test_what_is_no_open_web_address_is_refused_at_once(url):
    with pytest.raises(imports.Refused):
        imports.ask_url("web", url, by="ada")


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3", "192.168.1.1", "172.16.0.1",
    "169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1", "[2002:7f00:1::]", "224.0.0.1", "2130706433", "0x7f.1",
    "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
])  # fmt: skip
def test_addresses_that_are_not_public_are_refused_after_the_name_is_resolved(settings, server, host):
    settings.IMAGE_NETWORKS = []
    done = run(imports.ask_url("web", f"http://{host}:{server.server_port}/x", by="ada"))
    assert (done.state, "no public address" in done.error, server.asked) == ("failed", True, [])


def test_a_redirect_to_a_private_address_is_refused(settings, server):
    settings.IMAGE_NETWORKS = [ip_network("127.0.0.1/32")]
    server.answers["/x"] = lambda handler: handler.send(b"", status=302, Location="http://169.254.169.254/latest")
    done = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (done.state, "169.254.169.254" in done.error) == ("failed", True)


@pytest.mark.parametrize("target", ["/x", "file:///etc/passwd", "http://u:p@127.0.0.1/"])
def test_redirects_end_and_stay_on_the_web(server, target):
    server.answers["/x"] = lambda handler: handler.send(b"", status=302, Location=target)
    assert run(imports.ask_url("web", f"{server.url}/x", by="ada")).state == "failed"


def test_the_name_is_resolved_once_and_the_address_that_was_checked_is_asked(server, archive, monkeypatch):
    real, asked = socket.getaddrinfo, []

    def rebinding(host, *args, **kwargs):
        """127.0.0.1 at first, and another address to whoever asks again."""
        if host != "mirror.example":
            return real(host, *args, **kwargs)
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1" if len(asked) == 1 else "169.254.169.254", 0))]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", rebinding)
    server.answers["/x"] = archive.read_bytes()
    done = run(imports.ask_url("web", f"http://mirror.example:{server.server_port}/x", by="ada"))
    assert len(asked) == 1
    assert (done.state, server.asked[0]["Host"]) == ("done", f"mirror.example:{server.server_port}")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "open/../secret", "open/link", "open/missing", "open", "\0", "open/fifo"]
)
def test_only_plain_files_below_the_allowed_folders_are_taken(tmp_path, path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "open" / "fifo")
    with pytest.raises(imports.Refused, match="no such file below"):
        imports.ask_path("x", path if path.startswith(("/", "\0")) else f"{tmp_path}/{path}", by="ada")


def test_without_an_allowed_folder_nothing_is_taken(settings, archive):
    settings.IMAGE_FOLDERS = []
    with pytest.raises(imports.Refused, match="DODAI_IMAGE_FOLDERS"):
        imports.ask_path("x", str(archive), by="ada")


def test_a_link_put_there_after_it_was_asked_leads_nowhere(archive, tmp_path):
    wanted = imports.ask_path("x", str(archive), by="ada")
    (tmp_path / "secret").write_text("secret")
    archive.unlink()
    archive.symlink_to(tmp_path / "secret")
    assert run(wanted).state == "failed"


def test_the_same_file_under_two_names_is_stored_once(archive, store):
    images = [run(imports.ask_path(name, str(archive), by="ada")).image for name in ("one", "two")]
    assert images[0].sha256 == images[1].sha256
    assert len([path for path in store.iterdir() if len(path.name) == 64]) == 1


def test_a_wrong_digest_leaves_nothing(archive, store):
    done = run(imports.ask_path("x", str(archive), by="ada", sha256="0" * 64))
    assert (done.state, "digest" in done.error, left(), Image.objects.count()) == ("failed", True, [], 0)


def test_a_name_is_taken_in_once(archive):
    imports.ask_path("x", str(archive), by="ada")
    with pytest.raises(imports.Refused, match="already"):
        imports.ask_path("x", str(archive), by="bob")
    assert importer.turn()
    with pytest.raises(imports.Refused, match="already"):
        imports.ask_path("x", str(archive), by="bob")


@pytest.mark.parametrize(
    "fields", [{"root_mib": -1}, {"swap_mib": "x"}, {"kernel_args": "quiet; reboot"}, {"root_mib": 1 << 40}]
)
def test_odd_fields_are_refused(archive, fields):
    with pytest.raises(imports.Refused):
        imports.ask_path("x", str(archive), by="ada", **fields)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x" * 64, "<b>", ".hidden"])
def test_odd_names_are_refused(archive, name):
    with pytest.raises(imports.Refused, match="A name begins"):
        imports.ask_path(name, str(archive), by="ada")


def test_a_cancelled_import_stops_and_leaves_nothing(server, monkeypatch):
    monkeypatch.setattr(importer, "BEAT_SECONDS", 0.05)

    def slow(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000000")
        handler.end_headers()
        imports.cancel(ImageImport.objects.get(), by="bob")
        for _ in range(10_000):  # until nobody listens any more
            handler.wfile.write(bytes(1000))
            time.sleep(0.02)

    server.answers["/x"] = slow
    began = time.monotonic()
    done = run(imports.ask_url("web", f"{server.url}/x", by="ada"))
    assert (done.state, done.cancelled_by, left(), Image.objects.count()) == ("cancelled", "bob", [], 0)
    assert time.monotonic() - began < 100


def test_killed_between_the_file_and_its_row_it_is_done_again(archive):
    """The worst moment: the file is in the store and nobody names it."""
    wanted = imports.ask_upload("up", "x", archive.stat().st_size, by="ada")
    send(wanted, archive.read_bytes())
    with mock.patch("installs.images.intake._row", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        importer.turn()
    assert importer.turn() is False  # its lease still runs
    ImageImport.objects.update(lease_until=now())
    assert (run(wanted).state, left()) == ("done", [])


def test_an_import_survives_its_process(store, archive, settings):
    """A real process is killed while it copies; another one goes on and nothing torn is ever an image."""
    big = image_files.tar_zst(settings.IMAGE_FOLDERS[0] / "big", image_files.tree() | {"noise": os.urandom(30_000_000)})
    wanted = imports.ask_path("big", str(big), by="ada")
    program = (
        "import sys, time, threading, django; sys.path.insert(0, '.'); django.setup();"
        "from installs.images import importer, intake;"
        "intake.hash_of = lambda *a: (print('hashing', flush=True), time.sleep(600));"
        "importer.turn()"
    )
    environment = os.environ | {
        "DODAI_DATA": str(settings.DATA), "DODAI_IMAGE_FOLDERS": str(settings.IMAGE_FOLDERS[0]),
        "DJANGO_SETTINGS_MODULE": "dodaiweb.settings", "DODAI_REDIS_URL": settings.REDIS_URL,
        "DODAI_DATABASE_URL": _database_url(settings),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "hashing\n"
        finally:
            process.send_signal(signal.SIGKILL)
    wanted.refresh_from_db()
    assert (wanted.state, Image.objects.count()) == ("running", 0)
    ImageImport.objects.update(lease_until=now())
    assert (run(wanted).state, left()) == ("done", [])
    assert image_path(wanted.image.sha256).read_bytes() == big.read_bytes()


def _database_url(settings) -> str:
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        return f"sqlite:///{database['NAME']}"
    return f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}"


def test_a_url_may_have_letters_beyond_ascii(server, archive):
    server.answers["/%E6%A9%9F.tar.zst?a=%20b"] = archive.read_bytes()
    assert run(imports.ask_url("web", f"{server.url}/機.tar.zst?a=%20b", by="ada")).state == "done"


def test_tidying_keeps_what_a_command_reads_through_for_minutes(store):
    copied = incoming() / "f00d"
    copied.parent.mkdir(parents=True)
    copied.touch()
    os.utime(copied, (time.time() - 600, time.time() - 600))
    importer.tidy()
    assert left() == ["f00d"]


def test_tidying_keeps_what_rows_name(archive, store):
    done = run(imports.ask_path("x", str(archive), by="ada"))
    for name in ("0" * 64, done.image.sha256):
        path = image_path(name)
        path.touch()
        os.utime(path, (0, 0))
    importer.tidy()
    assert [path.name for path in store.iterdir() if len(path.name) == 64] == [done.image.sha256]
