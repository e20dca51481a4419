"""Hand-over by SSH, against a real OpenSSH server in namespaces: nothing of this computer is touched."""

import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from installs import actions
from installs.handover import entering, outcome, session, words
from installs.handover.orders import orders
from installs.handover.outcome import End
from installs.models import MachineKey
from installs.settings_document import document_of
from tests import installing, ssh_machine

PATIENT_SECONDS, SHORT_SECONDS = 120.0, 3.0
OWNERS, ADAS, OLD = (ssh_machine.key_pair()[1] for _ in range(3))
TOLD = {
    "hostname": "web1.example.org",
    "authorized_keys": [f"{OWNERS} owner"],
    "accounts": [{"name": "ada", "keys": [ADAS, f"{ADAS} two"]}],
    "network": [
        {"mac": "52:54:00:00:00:01", "address": "10.0.0.5/24", "gateway": "10.0.0.1", "dns": [], "role": "service",
         "bond": ""},
    ],
    "bonds": [], "vlans": [],
}  # fmt: skip
PRIVATE, PUBLIC = ssh_machine.key_pair()
OWN = f"{PUBLIC} dodai"
NETWORKD = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"

needs_root = pytest.mark.skipif(not ssh_machine.can_run(), reason="an OS of its own needs root and openssh-server")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are for machines, not for a busy computer: short only where a test is about them."""
    monkeypatch.setattr(session, "CONNECT_SECONDS", PATIENT_SECONDS)
    monkeypatch.setattr(session, "WHOLE_SECONDS", 2 * PATIENT_SECONDS)
    monkeypatch.setattr(session, "OVERTIME_SECONDS", PATIENT_SECONDS)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ssh_machine.SshMachine]:
    if not ssh_machine.can_run():
        pytest.skip("an OS of its own needs root and openssh-server")
    ours = Path("/etc/hosts").read_bytes(), socket.gethostname()
    with ssh_machine.running(tmp_path) as machine:
        machine.let_in(OLD, OWN)
        machine.path("/home/debian/.ssh/authorized_keys").write_text(f"{OLD}\n")
        machine.path(NETWORKD).parent.mkdir(parents=True)
        machine.path(NETWORKD).touch()
        yield machine
    assert ours == (Path("/etc/hosts").read_bytes(), socket.gethostname())


def door(machine: ssh_machine.SshMachine, **other) -> session.Door:
    return replace(session.Door("127.0.0.1", (machine.host_key,), PRIVATE, port=machine.port), **other)


def go(machine: ssh_machine.SshMachine, **other) -> outcome.Outcome:
    return session.go_in(door(machine, **other), orders(TOLD, own_key=OWN))


def names(found: outcome.Outcome) -> tuple[str, ...]:
    return tuple(step.name for step in found.done)


def keys(machine: ssh_machine.SshMachine) -> list[str]:
    return machine.text("/root/.ssh/authorized_keys").splitlines()


def check_handed_over(machine: ssh_machine.SshMachine) -> None:
    assert machine.hostname() == machine.text("/etc/hostname").strip() == "web1.example.org"
    assert "127.0.1.1 web1.example.org web1\n" in machine.text("/etc/hosts")
    assert keys(machine) == TOLD["authorized_keys"]
    assert machine.text("/home/ada/.ssh/authorized_keys").splitlines() == [ADAS, f"{ADAS} two"]
    assert machine.text("/etc/sudoers.d/90-dodai") == "ada ALL=(ALL) NOPASSWD:ALL\n"
    assert not machine.path("/home/debian/.ssh/authorized_keys").exists()
    network = machine.text("/etc/systemd/network/10-dodai-525400000001.network")
    assert "MACAddress=52:54:00:00:00:01\n" in network and "Address=10.0.0.5/24\nGateway=10.0.0.1\n" in network
    assert machine.text("/etc/dodai/network") == "52:54:00:00:00:01 10.0.0.5/24 10.0.0.1 -\n"


def test_all_steps_are_done_and_told_and_nobody_gets_in_by_the_key_any_more(machine):
    machine.path("/etc/systemd/network").mkdir(parents=True)
    machine.path("/etc/systemd/network/10-dodai-52540000aaaa.network").touch()
    machine.path("/etc/systemd/network/20-others.network").touch()
    found = go(machine)
    assert (found.end, found.failed_step, found.cause) == (End.DONE, "", "")
    assert names(found) == outcome.STEPS and all(step.seconds >= 0 for step in found.done)
    assert (
        dict(zip(names(found), (step.said for step in found.done), strict=True))["keys"] == "Keys for the accounts ada."
    )
    check_handed_over(machine)
    left = {path.name for path in machine.path("/etc/systemd/network").iterdir()}
    assert left == {"10-dodai-525400000001.network", "20-others.network"}
    assert stat.S_IMODE(machine.path("/root/.ssh/authorized_keys").stat().st_mode) == 0o600
    assert os.stat(machine.path("/home/ada/.ssh/authorized_keys")).st_uid == 1001
    again = go(machine)
    assert (again.end, again.failed_step, again.done) == (End.REFUSED, "connect", ())


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_cut_in_the_middle_it_is_silent_and_goes_through_the_next_time(machine, number):
    machine.misbehaves("kill -9 $PPID; sleep 600", when=str(number))
    found = go(machine)
    assert (found.end, found.failed_step) == (End.SILENT, outcome.STEPS[number])
    assert names(found) == outcome.STEPS[:number] and found.needs_reinstall
    machine.misbehaves(":", when="none")
    assert go(machine).end == End.DONE
    check_handed_over(machine)


def test_cut_after_a_step_was_done_it_can_be_done_again(machine):
    machine.misbehaves("/bin/sh -s; kill -9 $PPID; sleep 600", when="3")
    assert (go(machine).failed_step, PUBLIC in machine.text("/root/.ssh/authorized_keys")) == ("keys", True)
    machine.misbehaves(":", when="none")
    assert go(machine).end == End.DONE
    check_handed_over(machine)


def test_another_host_key_is_told_nothing(machine):
    found = go(machine, host_keys=(ssh_machine.key_pair()[1],))
    assert (found.end, found.failed_step, found.done) == (End.WRONG_HOST, "connect", ())
    assert not found.needs_reinstall and "nothing was told to it" in found.cause
    assert keys(machine) == [OLD, OWN] and "Accepted" not in machine.text("log")


def test_a_host_that_has_only_keys_of_other_kinds_is_another(machine):
    found = go(machine, host_keys=("ecdsa-sha2-nistp256 AAAA", "ssh-rsa AAAA"))
    assert found.end == End.WRONG_HOST


def test_an_os_that_does_not_take_the_key_refuses(machine):
    machine.let_in(OLD)
    found = go(machine)
    assert (found.end, found.failed_step) == (End.REFUSED, "connect") and found.needs_reinstall


@pytest.mark.parametrize(
    ("lets_in", "end", "step", "words"),
    [
        (False, End.SILENT, "connect", "fell silent while Dodai logged in"),
        (True, End.FAILED, "own-key", "whether the key still opens it could not be found out"),
    ],
)
def test_silence_while_dodai_logs_in_is_no_refusal(machine, lets_in, end, step, words):
    """Neither of the first connection nor of the one that must be refused."""
    machine.let_in(OLD, *([OWN] if lets_in else []))
    machine.path("/etc/cut").write_text("#!/bin/sh\nkill -9 $PPID\nsleep 600\n")
    machine.path("/etc/cut").chmod(0o755)
    machine.path("sshd_config").write_text(
        machine.text("sshd_config") + "AuthorizedKeysCommand /etc/cut\nAuthorizedKeysCommandUser root\n"
    )
    found = go(machine)
    assert (found.end, found.failed_step) == (end, step) and words in found.cause


def test_a_key_that_still_opens_it_is_found_out(machine):
    machine.path("sshd_config").write_text(
        machine.text("sshd_config") + f"AuthorizedKeysFile .ssh/authorized_keys {machine.path('more_keys')}\n"
    )
    machine.path("more_keys").write_text(f"{OWN}\n")
    machine.path("more_keys").chmod(0o600)
    machine.path("sshd_config").write_text(machine.text("sshd_config") + "StrictModes no\n")
    found = go(machine)
    assert (found.end, found.failed_step) == (End.FAILED, "own-key")
    assert "still takes the key" in found.cause and names(found) == outcome.STEPS[:5]


def test_what_is_not_there_afterwards_is_found_out(machine):
    machine.misbehaves("echo other >/etc/hostname", when="4")
    found = go(machine)
    assert (found.end, found.failed_step) == (End.FAILED, "verify")
    assert "web1.example.org other" in found.cause and PUBLIC in machine.text("/root/.ssh/authorized_keys")


def test_a_network_that_dodai_cannot_set_fails_in_words(machine):
    machine.path(NETWORKD).unlink()
    found = go(machine)
    assert (found.end, found.failed_step) == (End.FAILED, "network")
    assert found.cause.startswith("Its network is set up neither by systemd-networkd nor by ifupdown")


@needs_root
def test_with_ifupdown_the_card_of_the_connection_is_left_alone(tmp_path):
    log = "/run/calls"
    programs = {
        "ifup": f'case $1 in --help) echo " --exclude PATTERN"; exit ;; esac; echo "up $*" >>{log}',
        "ifdown": f'echo "down $*" >>{log}',
        "ip": "echo '2: eth7 inet'",
    }
    with ssh_machine.running(tmp_path, programs=programs) as machine:
        machine.path("/etc/network/interfaces.d").mkdir(parents=True)
        machine.path("/etc/network/interfaces.d/50-cloud-init").touch()
        machine.let_in(OWN)
        found = go(machine)
        assert (found.end, found.cause) == (End.DONE, "")
        assert "eth7" in found.done[2].said
        assert machine.text(log).splitlines() == ["down -a --exclude=lo --exclude=eth7", "up -a --exclude=eth7"]
        assert "auto /mac/52:54:00:00:00:01=dodai0\n" in machine.text("/etc/network/interfaces")
        assert not machine.path("/etc/network/interfaces.d/50-cloud-init").exists()
        machine.path(log).unlink()
        machine.let_in(OWN)
        assert go(machine).end == End.DONE
        assert not machine.path(log).exists(), "what is as it should be is left alone"


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        ("yes | head -c 3000000; exit 0", "it said more than 64 KiB"),
        (r"printf '\033]0;owned\007\033[2J<b>\000\377\n'; exit 7", "]0;owned [2J<b>"),
        ("exit 9", "ended with 9"),
        ("head -c 900 /dev/zero | tr '\\0' x; exit 1", "xxx"),
    ],
)
def test_hostile_output_is_one_short_line(machine, does, cause):
    machine.misbehaves(does, when="2")
    found = go(machine)
    assert (found.end, found.failed_step) == (End.FAILED, "network")
    assert cause in found.cause and found.cause.isprintable() and len(found.cause) < 400


def test_a_step_that_does_not_end_is_silence(machine, monkeypatch):
    monkeypatch.setattr(session, "WHOLE_SECONDS", SHORT_SECONDS)
    machine.misbehaves("sleep 600", when="1")
    found = go(machine)
    assert (found.end, found.failed_step) == (End.SILENT, "hostname")


def test_a_server_that_stands_still_is_silence(machine, monkeypatch):
    monkeypatch.setattr(session, "CONNECT_SECONDS", SHORT_SECONDS)
    machine.stops_them = True
    found = go(machine)
    assert (found.end, found.failed_step) == (End.SILENT, "connect") and found.needs_reinstall


def test_the_child_is_ended_where_the_library_does_not_come_back(machine, monkeypatch):
    monkeypatch.setattr(session, "_connect", lambda door: signal.pause())
    monkeypatch.setattr(session, "WHOLE_SECONDS", 0.5)
    monkeypatch.setattr(session, "OVERTIME_SECONDS", 0.5)
    found = go(machine)
    assert (found.end, found.failed_step) == (End.SILENT, "connect") and "did not answer within" in found.cause


def test_nobody_there_is_silence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = session.go_in(session.Door("127.0.0.1", (PUBLIC,), PRIVATE, port=port), [])
    assert (found.end, found.failed_step) == (End.SILENT, "connect") and "does not answer" in found.cause


@pytest.mark.parametrize(
    "greeting",
    [b"x" * (1 << 20), b"line\r\n" * 200_000, b"SSH-1.5-old\r\n", b"\0\xff" * 600, b"SSH-2.0-" + b"y" * (1 << 20)],
)
def test_a_megabyte_of_banner_is_no_ssh_server(greeting, monkeypatch):
    monkeypatch.setattr(session, "CONNECT_SECONDS", SHORT_SECONDS)

    def talk(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(greeting)
                connection.recv(1 << 16)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=talk, args=(listener,), daemon=True).start()
        at = session.Door("127.0.0.1", (PUBLIC,), PRIVATE, port=listener.getsockname()[1])
        found = session.go_in(at, orders(TOLD, own_key=OWN))
    assert (found.end, found.failed_step) == (End.SILENT, "connect")
    assert found.cause.isprintable() and len(found.cause) < 400


def test_no_private_key_is_shown():
    at = session.Door("10.0.0.5", (PUBLIC,), PRIVATE)
    assert "PRIVATE" not in f"{at!r} {at} {orders(TOLD, own_key=OWN)!r}"
    assert all("PRIVATE" not in order.program for order in orders(TOLD, own_key=OWN))


def test_settings_arrive_as_they_are():
    odd = "a'b$(touch /tmp/x)\"`c`"
    told = TOLD | {"authorized_keys": [odd]}
    verify = next(order for order in orders(told, own_key=OWN) if order.name == outcome.OWN_KEY)
    assert verify.expected == f"root {hashlib.sha256((odd + chr(10)).encode()).hexdigest()}\n"
    assert "DODAI_AUTHORIZED_KEYS='a'\"'\"'b$(touch" in verify.program


@pytest.fixture
def install(db, fake_power, named_ramdisk):
    return actions.start_install(installing.make_machine(), installing.make_image(), by="tester", for_pool=True)


def stored(install, machine) -> MachineKey:
    kept = MachineKey.objects.get(install=install)
    kept.host_keys = [machine.host_key]
    kept.save()
    machine.let_in(kept.public_key)
    return kept


def test_a_pooled_machine_is_handed_over_by_its_own_key_which_is_then_forgotten(install, machine):
    kept = stored(install, machine)
    told = document_of(install.machine, install.plan) | {"authorized_keys": [OWNERS], "hostname": "web9"}
    machine.path("/etc/dodai").mkdir()
    found = entering.hand_over(install, told, address="127.0.0.1", port=machine.port)
    assert (found.end, found.cause) == (End.DONE, "")
    assert (machine.hostname(), keys(machine)) == ("web9", [OWNERS])
    kept.refresh_from_db()
    assert not kept.is_kept
    again = entering.hand_over(install, told, address="127.0.0.1", port=machine.port)
    assert (again.end, again.cause) == (End.UNPREPARED, entering.NO_KEY)


def test_another_host_is_an_alert_and_the_key_is_kept(install, machine):
    kept = stored(install, machine)
    kept.host_keys = [OWNERS]
    kept.save()
    found = entering.hand_over(install, TOLD, address="127.0.0.1", port=machine.port)
    assert found.end == End.WRONG_HOST
    assert install.events.get(kind="alert").name == "wrong-ssh-host"
    kept.refresh_from_db()
    assert kept.is_kept


def test_an_os_that_never_told_its_host_keys_is_not_asked(install):
    found = entering.hand_over(install, TOLD, address="127.0.0.1", port=1)
    assert (found.end, found.cause, found.needs_reinstall) == (End.UNPREPARED, entering.NO_HOST_KEY, True)


@pytest.mark.parametrize("order", orders(TOLD, own_key=OWN), ids=lambda order: order.name)
def test_its_programs_are_clean(order):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    # SC2016: dollars are for whom they are printed. SC2034, SC2317: a program has the words and functions of all steps.
    command = ["shellcheck", "--exclude=SC2016,SC2034,SC2317", "-"]
    done = subprocess.run(command, input=order.program, capture_output=True, text=True, timeout=120)
    assert done.stdout == ""


def test_every_step_and_end_has_its_words():
    assert tuple(words.STEPS) == outcome.STEPS and set(words.ENDS) == set(End)
