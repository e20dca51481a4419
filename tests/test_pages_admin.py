"""The inventory's forms: what may be edited, and passwords that never come out."""

import pytest
from django.urls import reverse

from machines.models import Bmc, Credentials, Machine
from tests import installing, scenes


@pytest.fixture
def admin(client, db):
    client.force_login(scenes.make_user("admin", is_staff=True))
    return client


@pytest.fixture
def machine(db) -> Machine:
    machine = installing.make_machine(driver="ipmi")
    machine.bmc.host, machine.bmc.username = "10.0.0.7", "root"
    machine.bmc.set_password("first-secret")
    machine.bmc.save()
    return machine


def form_of(machine: Machine, **changes: str) -> dict[str, str]:
    """What a browser sends for the page as it is, with `changes`."""
    bmc, card, disk = machine.bmc, machine.interfaces.get(), machine.disks.get()
    return {
        "name": machine.name, "site": machine.site_id, "serial": machine.serial, "uuid": machine.uuid,
        "bmc-TOTAL_FORMS": "1", "bmc-INITIAL_FORMS": "1", "bmc-0-id": bmc.pk, "bmc-0-machine": machine.pk,
        "bmc-0-driver": bmc.driver, "bmc-0-host": bmc.host, "bmc-0-port": "623", "bmc-0-username": bmc.username,
        "interfaces-TOTAL_FORMS": "1", "interfaces-INITIAL_FORMS": "1", "interfaces-0-id": card.pk,
        "interfaces-0-machine": machine.pk, "interfaces-0-mac": card.mac, "interfaces-0-is_pxe": "on",
        "disks-TOTAL_FORMS": "1", "disks-INITIAL_FORMS": "1", "disks-0-id": disk.pk, "disks-0-machine": machine.pk,
        "disks-0-serial": disk.serial, "disks-0-size_bytes": disk.size_bytes, "disks-0-is_root": "on",
    } | changes  # fmt: skip


def change(admin, machine: Machine, **changes: str):
    address = reverse("admin:machines_machine_change", args=[machine.pk])
    return admin.post(address, form_of(machine, **changes))


def password_of(machine: Machine) -> str:
    return Bmc.objects.get(machine=machine).endpoint().password


def test_a_password_is_never_shown(admin, machine):
    html = admin.get(reverse("admin:machines_machine_change", args=[machine.pk])).content.decode()
    assert 'type="password"' in html
    assert "first-secret" not in html
    assert machine.bmc.password_sealed not in html


def test_an_empty_password_changes_nothing(admin, machine):
    assert change(admin, machine, owner="grace").status_code == 302
    assert Machine.objects.get().owner == "grace"
    assert password_of(machine) == "first-secret"


def test_a_new_password_is_stored_sealed(admin, machine):
    assert change(admin, machine, **{"bmc-0-password": " new secret "}).status_code == 302
    assert password_of(machine) == " new secret "
    assert "new secret" not in Bmc.objects.get().password_sealed


def test_a_password_can_be_forgotten(admin, machine):
    change(admin, machine, **{"bmc-0-forget_password": "on"})
    assert Bmc.objects.get().password_sealed == ""


def test_a_password_that_was_refused_is_not_sent_back(admin, machine):
    response = change(admin, machine, **{"bmc-0-password": "typed-secret", "bmc-0-port": "99999999"})
    assert response.status_code == 200
    assert b"typed-secret" not in response.content


def test_the_log_of_changes_holds_no_password(admin, machine):
    from django.contrib.admin.models import LogEntry

    change(admin, machine, **{"bmc-0-password": "new secret"})
    assert "secret" not in " ".join(LogEntry.objects.values_list("change_message", flat=True))


def test_shared_credentials_are_write_only_too(admin):
    add = reverse("admin:machines_credentials_add")
    assert admin.post(add, {"name": "rack", "username": "root", "password": "shared-secret"}).status_code == 302
    stored = Credentials.objects.get()
    assert stored.password == "shared-secret"
    html = admin.get(reverse("admin:machines_credentials_change", args=[stored.pk])).content.decode()
    assert "shared-secret" not in html


def test_the_state_of_a_machine_cannot_be_typed(admin, machine):
    change(admin, machine, state="in_use", image_name="mine")
    assert (Machine.objects.get().state, Machine.objects.get().image_name) == ("free", "")


def test_a_machine_that_is_worked_on_cannot_be_deleted(admin, machine):
    Machine.objects.update(handled_by="install 1")
    assert admin.post(reverse("admin:machines_machine_delete", args=[machine.pk]), {"post": "yes"}).status_code == 403


def test_the_file_of_an_image_cannot_be_changed(admin):
    image = installing.make_image()
    html = admin.get(reverse("admin:installs_image_change", args=[image.pk])).content.decode()
    assert image.sha256 in html
    assert 'name="sha256"' not in html
    assert admin.get(reverse("admin:installs_image_add")).status_code == 403


@pytest.mark.parametrize("name", ["machine", "credentials", "cluster", "vlan", "machinetype", "site", "sighting"])
def test_every_list_of_the_inventory_opens(admin, machine, name):
    assert admin.get(reverse(f"admin:machines_{name}_changelist")).status_code == 200


def test_a_viewer_has_no_way_into_the_inventory(client, machine):
    client.force_login(scenes.make_user("viewer"))
    assert client.get(reverse("admin:machines_machine_change", args=[machine.pk])).status_code == 302
