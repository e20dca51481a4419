"""The supervisor, driven from outside through the real `manage.py up`."""

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

from dodaiweb.supervisor import LONGEST_DELAY_SECONDS, delay_after, printable
from tests.real_up import ROOT, Up, descendants, free_ports, is_gone

CHILDREN = {"web", "provision", "images", "watchdog", "poll_power", "worker-1", "worker-2"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One `up` that the gentle tests share."""
    with Up(tmp_path_factory.mktemp("up") / "data") as up:
        up.first_line = up.wait_ready()
        yield up


@pytest.mark.real_up
class TestARunningUp:
    def test_the_ready_line_gives_address_and_password(self, running):
        assert running.first_line["url"] == f"http://127.0.0.1:{running.ports[0]}"
        assert running.first_line["user"] == "admin"
        assert len(running.first_line["password"]) >= 12

    def test_its_three_listeners_answer(self, running):
        with urllib.request.urlopen(running.first_line["url"], timeout=60) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{running.ports[1]}/boot.ipxe", timeout=60) as answer:
            assert answer.read().startswith(b"#!ipxe")

    def test_what_it_keeps_is_for_its_owner_only(self, running):
        open_to_others = [path for path in [running.data, *running.data.rglob("*")] if path.lstat().st_mode & 0o077]
        assert open_to_others == []

    def test_a_second_up_on_the_same_data_names_the_first(self, running):
        with Up(running.data) as second:
            assert second.finish() == 1
        assert f"process {running.process.pid}" in second.output
        assert "--data" in second.output
        assert "Traceback" not in second.output

    @pytest.mark.parametrize(("which", "option"), [(0, "--port"), (1, "--provision-port")])
    def test_a_busy_port_is_named_with_its_option(self, running, tmp_path, which, option):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            ports = list(free_ports())
            ports[which] = taken.getsockname()[1]
            with Up(tmp_path / "data", ports=tuple(ports)) as second:
                assert second.finish() == 1
        assert f"port {ports[which]} " in second.output
        assert f"{option} N" in second.output
        assert "|" not in second.output, "a child was started"

    def test_a_killed_child_starts_again(self, running):
        killed = running.pid_of("images")
        os.kill(killed, signal.SIGKILL)
        running.wait_for(r"^images +\| killed by SIGKILL; starts again in 0.5 s$")
        assert _eventually(lambda: _alive(running, "images") not in (None, killed))

    def test_a_child_that_keeps_dying_is_started_ever_later(self, running):
        said = r"^poll_power +\| killed by SIGKILL; starts again in (\S+) s$"
        delays: list[str] = []
        while delays[-3:] != ["0.5", "1", "2"]:
            assert len(delays) < 9, delays  # one that lived for long begins with 0.5 again
            assert _eventually(lambda: _alive(running, "poll_power"))
            os.kill(running.pid_of("poll_power"), signal.SIGKILL)
            running.wait_for(rf"(?:{said}.*){{{len(delays) + 1}}}", flags=re.DOTALL)
            delays = re.findall(said, running.output, re.MULTILINE)


@pytest.mark.real_up
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_process_and_the_next_start_shows_no_password(tmp_path, number):
    with Up(tmp_path / "data") as up:
        up.wait_ready()
        pids = descendants(up.process.pid)
        assert {"web", "provision"} < {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
        assert up.stop(number) == 0
        assert [pid for pid in pids if not is_gone(pid)] == []
    with Up(tmp_path / "data") as again:
        assert again.wait_ready()["password"] is None
        assert again.stop() == 0


@pytest.mark.real_up
def test_children_die_with_a_killed_supervisor_and_the_folder_is_free_again(tmp_path):
    with Up(tmp_path / "data") as up:
        up.wait_ready()
        pids = descendants(up.process.pid)
        os.kill(up.process.pid, signal.SIGKILL)
        assert [pid for pid in pids if not is_gone(pid)] == []
    with Up(tmp_path / "data") as again:
        again.wait_ready()
        assert again.stop() == 0


@pytest.mark.real_up
def test_a_lost_key_stops_the_start(tmp_path):
    with Up(tmp_path / "data") as up:
        up.wait_ready()
        assert up.stop() == 0
    (tmp_path / "data" / "keys" / "field_key").unlink()
    with Up(tmp_path / "data") as again:
        assert again.finish() != 0
    assert "field_key" in again.output
    assert "Traceback" not in again.output


@pytest.mark.real_up
def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with Up(tmp_path / "file" / "data") as up:
        assert up.finish() == 1
    assert f"{tmp_path / 'file' / 'data'} cannot be used" in up.output


class TestWithChildrenOfOurOwn:
    def test_output_is_prefixed_and_tamed(self):
        done = _supervise(
            """
            import os
            child = Child("noisy", lambda: os.write(1, b"hello\\x1b[31m\\nno newline"), restart=Restart.NEVER)
            supervisor.complete(child, seconds=60)
            """
        )
        assert done.stdout == "noisy|hello\\x1b[31m\nnoisy|no newline\n"

    def test_a_child_that_ignores_sigterm_is_killed_with_what_it_started(self, tmp_path):
        script = f"trap '' TERM; sleep 321 & echo $! $$ > {tmp_path}/pids; wait; wait"
        done = _supervise(
            f"""
            import os, time
            supervisor_module.GRACE_SECONDS = 0.5
            supervisor.start(Child("stubborn", program=("/bin/sh", "-c", {script!r})))
            while not os.path.exists("{tmp_path}/pids") or not open("{tmp_path}/pids").read().strip():
                time.sleep(0.01)
            """
        )
        assert "did not end when asked; killed" in done.stdout
        for pid in (tmp_path / "pids").read_text().split():
            assert is_gone(int(pid))

    def test_a_grandchild_in_a_session_of_its_own_is_ended_too(self, tmp_path):
        there = f"{tmp_path}/pid"
        script = f"setsid sh -c 'echo $$ > {there}; exec sleep 322' & until [ -s {there} ]; do sleep 0.05; done"
        _supervise(
            f"""
            child = Child("parent", program=("/bin/sh", "-c", {script!r}), restart=Restart.NEVER)
            supervisor.complete(child, seconds=60)
            """
        )
        assert is_gone(int((tmp_path / "pid").read_text()))

    def test_a_failing_one_shot_is_tried_a_few_times_only(self):
        done = _supervise(
            """
            import sys, time
            supervisor_module.FIRST_DELAY_SECONDS = 0.01
            child = Child("prepare", lambda: sys.exit("no network"), restart=Restart.ON_FAILURE, tries=3)
            supervisor.start(child)
            while not supervisor.ended("prepare"):
                supervisor.turn(time.monotonic() + 60)
            """
        )
        assert done.stdout.count("prepare|no network") == 3
        assert "not started again after 3 failures" in done.stdout

    def test_a_one_shot_that_succeeds_is_not_started_again(self):
        done = _supervise(
            """
            import time
            supervisor.start(Child("prepare", lambda: print("done"), restart=Restart.ON_FAILURE, tries=5))
            while not supervisor.ended("prepare"):
                supervisor.turn(time.monotonic() + 60)
            """
        )
        assert done.stdout == "prepare|done\n"

    def test_what_a_step_waits_for_has_a_deadline(self):
        done = _supervise(
            """
            import time
            child = Child("stuck", lambda: time.sleep(600), restart=Restart.NEVER)
            supervisor.complete(child, seconds=0.3)
            """,
            code=1,
        )
        assert "stuck did not end within 0.3 s" in done.stderr

    def test_a_child_has_no_open_file_of_the_supervisor(self):
        done = _supervise(
            """
            import os
            held = open("/etc/hostname")
            child = Child("bare", lambda: print(sorted(os.listdir("/proc/self/fd"))), restart=Restart.NEVER)
            supervisor.complete(child, seconds=60)
            """
        )
        assert done.stdout == "bare|['0', '1', '2', '3']\n"  # 3 is the folder being listed


def test_the_delay_doubles_up_to_a_cap():
    assert [delay_after(failures) for failures in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert delay_after(40) == LONGEST_DELAY_SECONDS


def test_a_long_or_wild_line_is_capped_and_shown_escaped():
    assert printable(b"a" * 10000) == "a" * 4096
    assert printable(b"\xff\x07ok\tit is\r\n") == "�\\x07ok\tit is"


def _supervise(body: str, *, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run `body` in a process of its own with a supervisor named `supervisor`."""
    program = textwrap.dedent(
        """
        from dodaiweb import supervisor as supervisor_module
        from dodaiweb.processes import Child, Restart
        from dodaiweb.supervisor import Supervisor
        with Supervisor(lambda name, line: print(f"{name}|{line}", flush=True)) as supervisor:
        """
    ) + textwrap.indent(textwrap.dedent(body), "    ")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def _alive(up: Up, name: str) -> int | None:
    try:
        return up.pid_of(name)
    except StopIteration:
        return None


def _eventually(question, *, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if question():
            return True
        time.sleep(0.05)
    return False
