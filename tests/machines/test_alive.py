"""Which processes have ended, and what follows for what they held."""

import os
import signal
import subprocess
import time

import pytest

from machines import alive
from machines.power.base import PowerError
from machines.power.child import call_in_child, only_for


def name_of(pid: int) -> str:
    place = alive.own_name().partition(".")[0]
    return f"{place}.{pid:x}.{alive._began(pid) or 0:x}"


def test_this_process_lives():
    assert not alive.has_ended(alive.own_name())
    assert len(alive.own_name()) <= alive.LONGEST_NAME


def test_a_killed_process_has_ended_even_before_it_is_reaped():
    sleeper = subprocess.Popen(["sleep", "600"])
    name = name_of(sleeper.pid)
    assert not alive.has_ended(name)
    sleeper.kill()
    while alive._began(sleeper.pid):
        time.sleep(0.01)
    assert alive.has_ended(name)
    sleeper.wait()
    assert alive.has_ended(name)


def test_a_stopped_process_has_not_ended():
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        os.kill(sleeper.pid, signal.SIGSTOP)
        assert not alive.has_ended(name_of(sleeper.pid))
    finally:
        sleeper.kill()
        sleeper.wait()


def test_another_process_with_the_same_number_is_another():
    place, pid, began = alive.own_name().split(".")
    assert alive.has_ended(f"{place}.{pid}.{int(began, 16) - 1:x}")


@pytest.mark.parametrize("name", ["", "ab12", "00000000.1.1", "00000000.fffff.1", f"{'0' * 32}"])
def test_nothing_is_said_of_other_computers_and_of_what_is_no_name(name):
    assert not alive.has_ended(name)


def test_who_stood_still_for_too_long_says_nothing_to_a_bmc():
    with only_for(0.05):
        time.sleep(0.1)
        with pytest.raises(PowerError, match="stood still"):
            call_in_child(lambda: 1, whom="the BMC", seconds=20)
    assert call_in_child(lambda: 1, whom="the BMC", seconds=20) == 1
