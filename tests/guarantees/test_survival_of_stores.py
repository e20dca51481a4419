"""T8, T9: Valkey is flushed, frozen or away, PostgreSQL is restarted; nothing is lost and pages still load."""

import os
import signal
import subprocess
import time

import django_rq
import django_rq.settings
import pytest

from dodaiweb import valkey
from machines import doorbell


@pytest.fixture
def frozen_valkey(tmp_path, monkeypatch):
    """A Valkey that takes connections and answers nothing, where the settings look for it."""
    socket = tmp_path / "v.sock"
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *valkey.command(socket)], stdout=subprocess.DEVNULL)
    try:
        valkey.wait(f"unix://{socket}", seconds=20)
        monkeypatch.setitem(django_rq.settings.QUEUES["default"], "URL", f"unix://{socket}")
        monkeypatch.setattr(doorbell, "_mute_until", 0.0)
        doorbell._connection.cache_clear()
        server.send_signal(signal.SIGSTOP)
        yield server
    finally:
        doorbell._connection.cache_clear()
        server.kill()
        server.wait()


def test_a_frozen_valkey_holds_up_nobody_for_long_and_is_rung_again_once_it_answers(frozen_valkey, monkeypatch):
    """An event or a step rings and tells pages some ten times."""
    monkeypatch.setattr(doorbell, "WAIT_SECONDS", 0.5)
    began = time.monotonic()
    for _ in range(10):
        doorbell._ring("installs.jobs.look")
        doorbell._publish({"install": 1})
    assert 0.4 < time.monotonic() - began < 5
    os.kill(frozen_valkey.pid, signal.SIGCONT)
    monkeypatch.setattr(doorbell, "_mute_until", 0.0)
    doorbell._ring("installs.jobs.look")
    assert django_rq.get_queue().count >= 1
