"""Disks that Dodai writes by iSCSI, with real parts: tgtd, qemu-img, and processes that die or sleep in mid-copy."""

import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from installs import actions, flow, sweep
from installs.images.intake import add_image, image_path
from installs.iscsi import copying, relay
from installs.models import Event, Install
from tests import disk_files, installing, iscsi_machines
from tests.disk_files import MIB
from tests.iscsi_machines import Exporter, copier_process, granted, qemus, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.lab]

SIZE_MIB = 48
HALF = SIZE_MIB * MIB // 8  # of what is not zero in it


@pytest.fixture(autouse=True)
def _parts(monkeypatch) -> Iterator[None]:
    from machines.power import fake

    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)
    fake.forget()
    yield
    fake.forget()


@pytest.fixture(autouse=True)
def _listener(settings) -> None:
    settings.ROOT_URLCONF, settings.MIDDLEWARE, settings.ALLOWED_HOSTS = "dodaiweb.provision_urls", [], ["*"]


@pytest.fixture(autouse=True)
def _nothing_is_unpacked() -> None:
    shutil.rmtree(settings.DATA / "iscsi", ignore_errors=True)


@pytest.fixture
def raw() -> bytes:
    return disk_files.gpt(SIZE_MIB)


@pytest.fixture
def image(raw, tmp_path, db):
    (tmp_path / "disk.raw.zst").write_bytes(disk_files.packed(raw, "raw.zst"))
    return add_image(tmp_path / "disk.raw.zst", name="disk", method="iscsi")


@pytest.fixture
def begun(image, tgt, tmp_path) -> Iterator[Callable[..., tuple[Install, Exporter]]]:
    """An install whose ramdisk has the grant and asks for its turn."""
    exporters: list[Exporter] = []

    def begin(number: int = 1, **options) -> tuple[Install, Exporter]:
        machine = iscsi_machines.on_this_computer(number)
        install = installing.start(machine, image)
        flow.begin_next()
        while flow.run_due():
            pass
        server = installing.Server(machine)
        granted(server)
        disk, work = tmp_path / f"disk{number}", tmp_path / f"work{number}"
        disk.write_bytes(b"\xa5" * (SIZE_MIB * MIB))
        work.mkdir()
        exporters.append(Exporter(server, tgt, disk, work, **options))
        exporters[-1].start()
        return install, exporters[-1]

    yield begin
    for each in exporters:
        each.stop()


@contextmanager
def copying_here() -> Iterator[copying.Copier]:
    """Copies by threads of this process, as its command makes them."""
    copier, over = copying.Copier(lambda text: None), threading.Event()

    def turn() -> None:
        while not over.wait(0.05):
            copier.turn()
        connection.close()

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield copier
    finally:
        over.set()
        thread.join(30)
        copier.wait(30)


def state_of(install: Install) -> Install:
    install.refresh_from_db()
    return install


def ended(install: Install) -> Install:
    """Its end, as workers bring it about."""

    def look() -> bool:
        while flow.run_due():
            pass
        return not state_of(install).is_live

    wait_until(look, "the end of the install")
    return install


def held(install: Install, exporter: Exporter) -> None:
    """The copy is in its middle, and stays there."""
    wait_until(lambda: exporter.gate.is_held.is_set() or exporter.ended, "the middle of the copy")
    assert exporter.gate.is_held.is_set(), state_of(install).error


def copied(exporter: Exporter) -> None:
    wait_until(lambda: exporter.ended or exporter.error, "the copy")
    assert (exporter.ended, exporter.error) == ("copied", None)


def test_what_is_written_is_the_image(begun, raw, guarantee):
    tally = guarantee("T28", "A disk that Dodai writes holds the image, byte for byte")
    with tally.trial(), copying_here():
        install, exporter = begun()
        copied(exporter)
        assert exporter.disk.read_bytes() == raw
    install = state_of(install)
    assert (install.owner, install.lease_until, install.state) == ("", None, "waiting")
    assert (install.phase, install.done_bytes, install.total_bytes) == ("write", len(raw), len(raw))
    assert exporter.server.say("install_reboot") == "applied"


def test_a_killed_copier_leaves_no_writer_and_another_begins_anew(begun, raw, guarantee):
    tally = guarantee("T6", "A copy whose process was killed is begun anew, under the same grant")
    with tally.trial():
        install, exporter = begun(hold_after=HALF)
        with copier_process() as first, copier_process() as second:
            held(install, exporter)
            was, writing = state_of(install), set(qemus(install))
            assert writing
            _holder(install, first, second).kill()
            wait_until(lambda: not writing & set(qemus(install)), "the end of its qemu-img")
            wait_until(lambda: sweep.sweep() or len(exporter.copies) > 1, "another copy")
            copied(exporter)
        assert exporter.disk.read_bytes() == raw
        install = state_of(install)
        assert (install.granted_at, install.granted_boot_id) == (was.granted_at, was.granted_boot_id)
        assert install.events.filter(name="granted").count() == 1
        assert len(set(exporter.copies)) > 1


def test_a_copier_that_slept_writes_nothing_once_it_wakes(begun, raw, guarantee):
    tally = guarantee("T7", "A copier frozen beyond its lease has no effect once it wakes: its export is gone")
    with tally.trial():
        install, exporter = begun(hold_after=HALF)
        with copier_process() as first, copier_process() as second:
            held(install, exporter)
            sleeper = _holder(install, first, second)
            sleeper.send_signal(signal.SIGSTOP)
            Install.objects.filter(pk=install.pk).update(lease_until=now())
            copied(exporter)
            assert exporter.disk.read_bytes() == raw
            before = list(state_of(install).events.values_list("pk", flat=True))
            sleeper.send_signal(signal.SIGCONT)
            wait_until(lambda: not qemus(install), "the end of its qemu-img")
        assert exporter.disk.read_bytes() == raw
        assert list(install.events.values_list("pk", flat=True)) == before
        assert state_of(install).state == "waiting"


def _holder(install: Install, *processes: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
    pid = state_of(install).owner.split(".")[1]
    return next(process for process in processes if f"{process.pid:x}" == pid)


def test_cancel_ends_the_copy_and_the_export(begun):
    install, exporter = begun(hold_after=HALF)
    with copying_here():
        held(install, exporter)
        actions.cancel(install, by="tester")
        wait_until(lambda: not qemus(install), "the end of qemu-img", seconds=20)
        wait_until(lambda: exporter.ended, "the ramdisk to hear of it", seconds=20)
        assert exporter.ended == "410"
    install = ended(install)
    assert (install.state, install.cause) == ("cancelled", "cancelled")
    assert exporter.disk.read_bytes()[-2 * MIB : -MIB] == b"\xa5" * MIB


def test_a_lost_network_fails_the_install_by_its_name(begun, monkeypatch):
    monkeypatch.setattr("installs.iscsi.writer.LAST_WORDS_SECONDS", 1.0)
    install, exporter = begun(hold_after=HALF)
    with copying_here():
        held(install, exporter)
        exporter.gate.cut()
        install = ended(install)
    assert (install.state, install.cause) == ("failed", "network-lost"), install.error
    assert "broke after" in install.error and "cannot boot" in install.error
    assert install.left_behind.startswith("The machine is off")


def test_a_silent_network_fails_it_too(begun, monkeypatch):
    monkeypatch.setattr("installs.iscsi.writer.SILENCE_SECONDS", 1.0)
    monkeypatch.setattr("installs.iscsi.writer.LAST_WORDS_SECONDS", 1.0)
    install, _ = begun(hold_after=HALF)
    with copying_here():
        install = ended(install)
    assert (install.state, install.cause) == ("failed", "network-lost"), install.error
    assert "not one byte in 1 s" in install.error


def test_who_does_not_take_the_secret_is_not_written_to(begun):
    install, exporter = begun(secret="another-secret-of-somebody")
    with copying_here():
        install = ended(install)
    assert (install.state, install.cause) == ("failed", "iscsi-refused"), install.error
    assert exporter.disk.read_bytes() == b"\xa5" * (SIZE_MIB * MIB)


def test_the_secret_stands_nowhere(begun, caplog):
    caplog.set_level("DEBUG")
    install, exporter = begun(hold_after=HALF)
    with copying_here():
        held(install, exporter)
        _, told = exporter._ask(exporter.copies[0])
        secret = told["DODAI_EXPORT_SECRET"].encode()
        pids = qemus(install)
        assert pids and len(secret) == 43
        for name in ("cmdline", "environ"):
            assert all(secret not in Path(f"/proc/{pid}/{name}").read_bytes() for pid in pids)
        exporter.gate.is_open.set()
        copied(exporter)
    rows = "".join(map(str, [*Install.objects.values(), *Event.objects.values()]))
    assert secret.decode() not in rows + caplog.text
    ours = [path for path in settings.DATA.rglob("*") if not {"apt", "tools"} & set(path.parts)]  # not Debian's
    assert not [path for path in ours if path.is_file() and secret in path.read_bytes()]


def test_an_image_that_was_changed_in_the_store_is_not_written(begun, image):
    stored = image_path(image.sha256)
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)
    install, exporter = begun()
    with copying_here():
        install = ended(install)
    stored.unlink()  # other tests have an image of the same bytes
    assert (install.state, install.cause) in [("failed", "digest"), ("failed", "image")], install.error
    assert exporter.copies == [] or exporter.disk.read_bytes() == b"\xa5" * (SIZE_MIB * MIB)


def test_so_many_at_once_and_the_others_wait_their_turn(begun, settings, raw):
    settings.ISCSI_COPIES = 1
    first, one = begun(1, hold_after=HALF)
    with copying_here():
        held(first, one)
        second, other = begun(2)
        wait_until(lambda: state_of(second).phase == "turn", "its turn to be waited for")
        assert second.deadline and not other.copies
        one.gate.is_open.set()
        copied(one)
        copied(other)
    assert one.disk.read_bytes() == other.disk.read_bytes() == raw


def test_the_relay_tells_when_nobody_acknowledges():
    """What stands in the kernel: without it a pulled cable is noticed after a quarter of an hour."""
    with socket.create_server(("127.0.0.1", 0)) as far, socket.create_server(("127.0.0.1", 0)) as near:
        carried = relay.Relay(near.dup(), *far.getsockname())
        with socket.create_connection(near.getsockname()):
            accepted, _ = far.accept()
            wait_until(lambda: len(carried._sockets) == 3, "the relay")
            wait_until(lambda: carried._sockets[2].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), "its limit")
            accepted.close()
            wait_until(lambda: carried.problem, "the end")
