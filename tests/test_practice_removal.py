"""Removing the practice servers stops the guests of a real lab, and what restarts leaves them alone."""

import pytest

from installs import practice
from lab import control
from machines.models import Machine, Site
from tests.practice_lab import boot_server, running_lab

pytestmark = pytest.mark.lab


@pytest.fixture
def lab(tmp_path, settings):
    settings.DATA = tmp_path
    with boot_server() as server, running_lab(tmp_path, count=2, ports=server.ports) as running:
        yield running


def test_guests_are_stopped_stay_stopped_and_come_back(lab, db, monkeypatch):
    machines = [practice.register(profile) for profile in lab.profiles]
    control.ask(lab.data, "start", name="practice-1")
    assert lab.machine("practice-1")["power"] == "on"

    practice.remove(by="ada")
    assert practice.settle(2, print, True) is False
    assert [lab.machine(machine.name)["power"] for machine in machines] == ["off", "off"]
    assert set(Machine.objects.practice().values_list("state", flat=True)) == {"retired"}

    prepared = []
    monkeypatch.setattr(practice, "prepare", lambda count, say: prepared.append(count))
    assert practice.settle(2, print, None) is False, "as after a restart"
    assert not prepared
    practice.bring_back()
    assert practice.settle(2, print, False) is True
    assert prepared == [2]
    assert Site.objects.get(name="practice").closed_at is None
    assert {practice.register(profile).state for profile in lab.profiles} == {"new"}
