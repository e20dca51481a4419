"""Power commands of operators and the poll, against a real IPMI server and the fake driver."""

import time
from datetime import timedelta

import pytest
from django.utils.timezone import now

from machines import actions, child, jobs
from machines.clock import boot_seconds
from machines.models import Bmc, Machine, PowerCommand
from machines.poll import EVERY, Poller
from machines.power import fake
from machines.power.base import Power
from tests import installing
from tests.machines.bmcs import running_bmc

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fake_power():
    fake.forget()


@pytest.fixture
def machine(db):
    return installing.make_machine()


def ask(machine: Machine, action: str) -> PowerCommand:
    command = actions.request_power(machine, action, by="tester")
    jobs.run_power_commands()
    command.refresh_from_db()
    return command


def test_on_and_off(machine):
    assert ask(machine, "on").message == "power is on"
    machine.refresh_from_db()
    assert machine.power == Power.ON
    assert ask(machine, "off").state == "done"


def test_soft_off_turns_hard_when_the_os_does_nothing(machine, monkeypatch):
    fake.states["node1"] = Power.ON
    monkeypatch.setattr(fake.FakePower, "soft_off", lambda self: None)
    command = ask(machine, "soft")
    assert (command.state, fake.states["node1"]) == ("running", Power.ON)
    for _ in range(2):
        PowerCommand.objects.update(again_at=now() - timedelta(seconds=1), hard_at=now() - timedelta(seconds=1))
        jobs.run_power_commands()
    command.refresh_from_db()
    assert (command.state, fake.states["node1"]) == ("done", Power.OFF)
    assert "hard" in command.message


def test_a_second_command_waits_for_the_first(machine):
    actions.request_power(machine, "on", by="tester")
    with pytest.raises(actions.Refused, match="already under way"):
        actions.request_power(machine, "off", by="tester")


def test_no_command_gets_between_an_install_and_its_machine(machine):
    Machine.objects.update(handled_by="install 7")
    with pytest.raises(actions.Refused, match="install 7"):
        actions.request_power(machine, "off", by="tester")


def test_a_protected_machine_is_not_switched_off(machine):
    Machine.objects.update(protected=True)
    with pytest.raises(actions.Refused, match="protected"):
        actions.request_power(machine, "off", by="tester")


def test_a_failed_command_says_why(machine):
    Bmc.objects.update(driver="ipmi", host="")
    command = ask(machine, "on")
    assert (command.state, command.message) == ("failed", "node1 has no BMC address: enter it in the inventory")


def test_a_command_whose_worker_died_is_taken_up_again(machine):
    command = actions.request_power(machine, "on", by="tester")
    PowerCommand.objects.update(state="running", lease_until=now() - timedelta(seconds=1))
    jobs.run_power_commands()
    command.refresh_from_db()
    assert command.state == "done"


@pytest.mark.parametrize("is_taken_over", [True, False])
def test_a_worker_that_froze_past_its_lease_sends_nothing_on_waking(machine, monkeypatch, is_taken_over):
    """It froze once it had made sure that the command is its own; another did it, and the machine went off again."""
    renew = jobs._renew

    def freeze(command: PowerCommand) -> None:
        renew(command)
        monkeypatch.setattr(jobs, "_renew", renew)
        if is_taken_over:
            PowerCommand.objects.update(lease_until=now() - timedelta(seconds=1))
            jobs.run_power_commands()
            assert guest.is_on
            guest.is_on = False
        monkeypatch.setattr(child, "boot_seconds", lambda: boot_seconds() + jobs.LEASE.total_seconds() + 1)

    with running_bmc() as (guest, endpoint):
        Bmc.objects.update(driver="ipmi", host="127.0.0.1", port=endpoint.port, username="admin")
        bmc = Bmc.objects.get()
        bmc.set_password(endpoint.password)
        bmc.save()
        monkeypatch.setattr(jobs, "_renew", freeze)
        command = ask(machine, "on")
        assert guest.is_on is False
    assert command.state == ("done" if is_taken_over else "failed")
    assert is_taken_over or "nothing was sent" in command.message


def test_a_fault_of_ours_ends_the_command_and_lets_others_through(machine, monkeypatch):
    monkeypatch.setattr(jobs, "driver_for", lambda endpoint: 1 / 0)
    command = ask(machine, "on")
    assert (command.state, "a fault in Dodai itself (ZeroDivisionError)" in command.message) == ("failed", True)
    monkeypatch.undo()
    assert ask(machine, "on").state == "done"


def poll_until(poller: Poller, stored: int) -> None:
    end = time.monotonic() + 120
    while stored > 0 and time.monotonic() < end:
        stored -= poller.turn()
        time.sleep(0.02)
    assert stored <= 0


def test_the_poll_reads_what_is_and_says_what_is_not(machine):
    with running_bmc() as (guest, endpoint):
        guest.is_on = True
        machine.bmc.driver, machine.bmc.host, machine.bmc.port, machine.bmc.username = (
            "ipmi",
            "127.0.0.1",
            endpoint.port,
            "admin",
        )
        machine.bmc.set_password(endpoint.password)
        machine.bmc.save()
        dead = installing.make_machine("dead", number=2)
        Bmc.objects.filter(machine=dead).update(driver="ipmi", host="127.0.0.1", port=9)
        poller, began = Poller(), now()
        poll_until(poller, 2)
        poller.close()
    machine.refresh_from_db()
    dead.refresh_from_db()
    assert (machine.power_state, machine.power) == ("on", Power.ON)
    assert (dead.power, dead.power_seen_at) == (Power.UNKNOWN, None)
    assert "dead: the BMC at 127.0.0.1:9" in dead.power_error
    assert dead.power_poll_at >= began + EVERY, "it is asked less often"


def test_an_old_reading_is_not_believed(machine):
    Machine.objects.update(power_state="on", power_seen_at=now() - timedelta(minutes=10))
    machine.refresh_from_db()
    assert machine.power == Power.UNKNOWN


def test_a_slow_shutdown_does_not_cut_the_power_of_an_install(machine, monkeypatch):
    """The OS ignored the request; meanwhile an install took the machine. A minute later its power must stay on."""
    fake.states["node1"] = Power.ON
    monkeypatch.setattr(fake.FakePower, "soft_off", lambda self: None)
    command = ask(machine, "soft")
    Machine.objects.update(handled_by="install 7")
    PowerCommand.objects.update(again_at=now() - timedelta(seconds=1), hard_at=now() - timedelta(seconds=1))
    jobs.run_power_commands()
    command.refresh_from_db()
    assert (command.state, fake.states["node1"]) == ("failed", Power.ON)
    assert "install 7" in command.message


def test_a_password_that_cannot_be_read_is_an_error_of_its_machine_only(machine):
    Bmc.objects.update(driver="fake", password_sealed="v1.AAAA")
    command = ask(machine, "on")
    assert command.state == "failed"
    assert "BMC password cannot be read" in command.message
    poller = Poller()
    poll_until(poller, 1)
    poller.close()
    machine.refresh_from_db()
    assert "BMC password cannot be read" in machine.power_error
