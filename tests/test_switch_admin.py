"""Switches in the admin: their driver's own settings, secrets that go in and never out, and what their ports are in."""

import pytest
from django.urls import reverse

from machines.models import Switch, Vlan
from machines.models.history import HISTORIES
from machines.switch_admin import SwitchAdmin

pytestmark = pytest.mark.django_db
SECRET = "canary-of-a-switch"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0YhVYq3iJxyxmMTq1H5rJ5yq3m6cB7Jx9o0aAbCd"
LEAF = {
    "name": "leaf", "driver": "netmiko", "notes": "", "vlans": "210-219", "ports": "Ethernet1..24", "quarantine": "",
    "setting-vendor": "arista", "setting-host": "10.0.9.1", "setting-port": "22", "setting-host_key": KEY,
    "setting-username": "dodai", "setting-password": SECRET, "setting-enable": "", "setting-save": "on",
}  # fmt: skip


def change(client, switch: Switch, **values: str):
    return client.post(reverse("admin:machines_switch_change", args=[switch.pk]), LEAF | values)


@pytest.fixture
def leaf(admin) -> Switch:
    answer = admin.post(reverse("admin:machines_switch_add"), {"name": "leaf", "driver": "netmiko"})
    switch = Switch.objects.get()
    assert answer["Location"] == reverse("admin:machines_switch_change", args=[switch.pk])
    return switch


def page(client, switch: Switch) -> str:
    return client.get(reverse("admin:machines_switch_change", args=[switch.pk])).content.decode()


def test_a_driver_asks_for_what_it_declares_and_its_secrets_never_come_out(admin, leaf):
    assert 'name="setting-host_key"' in page(admin, leaf)
    assert change(admin, leaf).status_code == 302
    leaf.refresh_from_db()
    assert leaf.settings == {
        "vendor": "arista", "host": "10.0.9.1", "port": 22, "host_key": KEY, "username": "dodai", "save": True,
    }  # fmt: skip
    assert leaf.secrets() == {"password": SECRET}
    assert SECRET not in page(admin, leaf) + str(leaf.settings) + str(list(Switch.history.values()))
    assert leaf.secrets_sealed not in page(admin, leaf)


def test_a_secret_left_empty_stays_and_is_forgotten_on_demand(admin, leaf):
    change(admin, leaf, **{"setting-enable": "another-canary"})
    change(admin, leaf, **{"setting-password": "", "setting-enable": "", "forget-enable": "on", "notes": "x"})
    leaf.refresh_from_db()
    assert leaf.secrets() == {"password": SECRET}
    sealed = leaf.secrets_sealed
    change(admin, leaf, **{"setting-password": ""})
    leaf.refresh_from_db()
    assert leaf.secrets_sealed == sealed, "unchanged, so that its history says nothing"


def test_saving_takes_back_nothing_that_happens_to_the_switch_meanwhile(admin, leaf, monkeypatch):
    save = SwitchAdmin.save_model

    def meanwhile(*args) -> None:
        Switch.objects.update(held_by="a worker", read_report=[{"port": "1"}])
        save(*args)

    monkeypatch.setattr(SwitchAdmin, "save_model", meanwhile)
    change(admin, leaf, notes="new")
    leaf.refresh_from_db()
    assert (leaf.notes, leaf.held_by, leaf.read_report) == ("new", "a worker", [{"port": "1"}])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("setting-password", "", "This field is required"),
        ("setting-port", "0", "greater than or equal to 1"),
        ("setting-vendor", "huawei", "Select a valid choice"),
        ("vlans", "5000", "5000 is no VLAN"),
        ("ports", "a|b", "a|b is no name of a port"),
    ],
)
def test_what_is_wrong_is_said(admin, leaf, name, value, words):
    answer = change(admin, leaf, **{name: value})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not Switch.objects.get().settings


def test_another_driver_begins_without_the_settings_and_secrets_of_the_one_before(admin, leaf):
    change(admin, leaf)
    assert change(admin, leaf, driver="ofc", **{"setting-password": ""}).status_code == 302
    leaf.refresh_from_db()
    assert (leaf.driver, leaf.settings, leaf.secrets()) == ("ofc", {}, {})
    assert 'name="setting-outer_ports"' in page(admin, leaf)


def test_a_viewer_of_the_admin_sees_no_settings(client, leaf):
    from django.contrib.auth.models import Permission

    from tests import scenes

    user = scenes.make_user(None, name="looker", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_switch"))
    client.force_login(user)
    assert "setting-" not in page(client, leaf)


def test_ports_are_read_on_demand_and_shown_as_text(admin, leaf, queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = admin.post(
            reverse("admin:machines_switch_changelist"), {"action": "read_ports", "_selected_action": [leaf.pk]}
        )
    assert answer.status_code == 302
    assert queue.count == 1
    assert "It is being read" in page(admin, leaf)
    report = [
        {"port": "Ethernet1", "vlan": 210, "place": "VLAN 210", "allowed": True, "cards": ["node1 52:54:00:00:00:01"]},
        {"port": "<b>x", "problem": "<script>alert(1)</script>", "allowed": False, "cards": []},
    ]
    Switch.objects.update(read_asked_at=None, read_report=report)
    shown = page(admin, leaf)
    assert "<td>Ethernet1</td><td>210</td><td>node1 52:54:00:00:00:01</td><td>yes</td>" in shown
    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;" in shown


def test_a_quarantine_vlan_and_a_cabled_switch_are_not_deleted(admin, leaf):
    from tests import installing

    leaf.quarantine = Vlan.objects.create(vid=999, name="quarantine")
    leaf.save()
    installing.make_machine().interfaces.update(switch=leaf)
    for name, thing in (("vlan", leaf.quarantine), ("switch", leaf)):
        answer = admin.post(reverse(f"admin:machines_{name}_delete", args=[thing.pk]), {"post": "yes"})
        assert answer.status_code == 200
        assert type(thing).objects.exists()


def test_the_history_says_that_a_secret_changed_and_not_to_what(admin, leaf):
    change(admin, leaf)
    shown = admin.get(reverse("admin:machines_switch_history", args=[leaf.pk])).content.decode()
    assert "password changed" in shown
    assert SECRET not in shown
    assert Switch in HISTORIES
