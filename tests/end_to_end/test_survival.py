"""Installs whose machine falls silent, whose worker is killed, and whose Dodai is stopped under them."""

import os
import signal

import pytest

from lab import control
from tests.end_to_end.dodai import Dodai, Following
from tests.real_up import is_gone

FROZEN, INTERRUPTED = "practice-2", "practice-1"
POWER_LOSS_SECONDS = 180


@pytest.fixture(scope="module")
def frozen(dodai: Dodai) -> Following:
    """An install whose machine stopped dead while it fetched the image, and whose patience is at its end."""
    install = dodai.install(FROZEN, "tiny")
    install.wait_for("machine", "install")
    machines = control.ask(dodai.data, "status")["machines"]  # at once: a command takes seconds
    os.kill(next(each["pid"] for each in machines if each["name"] == FROZEN), signal.SIGSTOP)
    # Its three minutes of silence, over at once. What it said last has been heard by the time this runs.
    live = f"Install.objects.live().filter(machine__name={FROZEN!r})"
    assert dodai.database(f"{live}.update(quiet_until=now())") == 1
    return install


def test_killed_workers_do_not_stop_an_install(dodai, killed_workers, installed) -> None:
    assert len(killed_workers) == 2
    assert [install.process.returncode for install in installed.values()] == [0, 0, 0]
    assert len(dodai.workers) == 2
    assert not set(dodai.workers) & set(killed_workers)


def test_a_silent_machine_fails_its_install_and_ends_switched_off(dodai, frozen) -> None:
    assert frozen.wait() == 1
    ended = dodai.last_install(FROZEN)
    assert (ended["state"], ended["cause"]) == ("failed", "silent"), frozen.story()
    assert f"{FROZEN} fell silent" in frozen.errors.read_text()
    # Whether it froze before its first write is up to the machine: the install knows by the grant.
    untouched = "" if ended["granted_at"] else " No disk was written."
    assert ended["left_behind"] == f"The machine is off.{untouched}"
    assert dodai.lab(FROZEN)["power"] == "off"


def test_ctrl_c_leaves_no_process_and_the_next_start_tells_of_it(dodai) -> None:
    install = dodai.install(INTERRUPTED, "tiny")
    install.wait_for("phase", "copy")
    pids = dodai.pids
    assert dodai.stop(signal.SIGINT) == 0
    assert "did not end when asked" not in dodai.output.read_text()
    assert [pid for pid in pids if not is_gone(pid)] == []
    assert processes_naming(str(dodai.data)) == [install.process.pid]

    ready = dodai.start()
    assert ready["password"] is None
    assert install.wait(seconds=POWER_LOSS_SECONDS) == 1
    ended = dodai.last_install(INTERRUPTED)
    assert (ended["state"], ended["cause"]) == ("failed", "power-lost"), install.story()
    assert f"{INTERRUPTED} went off during copy" in install.errors.read_text()
    assert ended["left_behind"] == "The machine is off."


def processes_naming(text: str) -> list[int]:
    """Processes with it in their command line or environment."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as words, open(f"/proc/{entry}/environ", "rb") as environment:
                if text.encode() in words.read() + environment.read():
                    found.append(int(entry))
        except OSError:
            continue  # it has just ended, or is not ours to read
    return found
