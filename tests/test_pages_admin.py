"""The inventory's forms: what may be edited, and passwords that never come out."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin import ModelAdmin
from django.urls import reverse

from installs.models import Image
from machines.models import Bmc, Cluster, Credentials, Machine
from tests import installer_answers, installing, scenes


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
        "interfaces-0-role": "service", "links-TOTAL_FORMS": "0", "links-INITIAL_FORMS": "0",
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


@pytest.mark.parametrize(
    ("language", "day"), [("en", "21 Nov 2026, 14:05:09 UTC"), ("ja", "2026年11月21日 14:05:09 UTC")]
)
def test_times_are_shown_with_their_zone(admin, machine, language, day):
    Machine.objects.update(inspected_at=datetime(2026, 11, 21, 14, 5, 9, tzinfo=UTC))
    address = reverse("admin:machines_machine_change", args=[machine.pk])
    assert day in admin.get(address, headers={"accept-language": language}).content.decode()


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


def test_saving_takes_back_nothing_that_the_engine_wrote_meanwhile(admin, machine, monkeypatch):
    read = ModelAdmin.get_object

    def and_then(self, request, *given):
        found = read(self, request, *given)
        Machine.objects.update(state="installing", handled_by="install 7")
        return found

    monkeypatch.setattr(ModelAdmin, "get_object", and_then)
    assert change(admin, machine, rack="R7").status_code == 302
    fresh = Machine.objects.get()
    assert (fresh.rack, fresh.state, fresh.handled_by) == ("R7", "installing", "install 7")


def test_a_machine_that_is_worked_on_cannot_be_deleted(admin, machine):
    Machine.objects.update(handled_by="install 1")
    assert admin.post(reverse("admin:machines_machine_delete", args=[machine.pk]), {"post": "yes"}).status_code == 403


def test_the_file_of_an_image_cannot_be_changed(admin):
    image = installing.make_image()
    html = admin.get(reverse("admin:installs_image_change", args=[image.pk])).content.decode()
    assert image.sha256 in html
    assert 'name="sha256"' not in html


@pytest.mark.parametrize("kind", ["preseed", "kickstart", "autoinstall"])
def test_an_image_of_an_installer_is_entered_by_its_settings(admin, kind):
    address = f"{reverse('admin:installs_image_add')}?method={kind}"
    assert "metadata-kernel" in admin.get(address).content.decode()
    given = {
        "name": "os", "metadata-kernel": "http://m.example/linux", "metadata-initrd": "http://m.example/initrd",
        "metadata-answers": installer_answers.TEMPLATES[kind], "metadata-release": "RHEL9",
        "metadata-variables": f"root_hash: {installer_answers.HASH}", "min_memory_mib": "0",
        **dict.fromkeys(("root_mib", "swap_mib", "ephemeral_mib", "kdump_mib"), "0"),
    }  # fmt: skip
    assert admin.post(address, given).status_code == 302
    image = Image.objects.get()
    assert image.method == kind and image.metadata["kernel"] == "http://m.example/linux"
    assert "canaryhash" not in str(image.metadata) and "canaryhash" not in image.secrets_sealed
    page = admin.get(reverse("admin:installs_image_change", args=[image.pk])).content.decode()
    assert "canaryhash" not in page and "secrets.root_hash" in page


def test_bad_answers_are_not_stored(admin):
    given = {"name": "os", "metadata-kernel": "http://m.example/linux", "metadata-initrd": "http://m.example/initrd",
             "metadata-answers": "d-i passwd/root-password password clear"}  # fmt: skip
    said = admin.post(f"{reverse('admin:installs_image_add')}?method=preseed", given)
    assert said.status_code == 200 and "Line 1: A password stands here in clear" in said.content.decode()
    assert not Image.objects.exists()


@pytest.mark.parametrize("name", ["machine", "credentials", "cluster", "vlan", "machinetype", "site", "sighting"])
def test_every_list_of_the_inventory_opens(admin, machine, name):
    assert admin.get(reverse(f"admin:machines_{name}_changelist")).status_code == 200


def test_a_viewer_has_no_way_into_the_inventory(client, machine):
    client.force_login(scenes.make_user("viewer"))
    assert client.get(reverse("admin:machines_machine_change", args=[machine.pk])).status_code == 302


def act(admin, action: str, *machines: Machine):
    values = {"action": action, "_selected_action": [machine.pk for machine in machines]}
    return admin.post(reverse("admin:machines_machine_changelist"), values)


@pytest.mark.parametrize(
    ("action", "page"), [("install", "/many/install/"), ("inspect", "/many/inspect/"), ("power", "/many/power/")]
)
def test_actions_lead_to_the_same_pages_and_start_nothing(admin, machine, action, page):
    from installs.models import Install
    from machines.models import PowerCommand

    other = installing.make_machine("node2", number=2)
    answer = act(admin, action, other, machine)
    assert answer["Location"] == f"{page}?machines={machine.pk}&machines={other.pk}"
    assert admin.get(answer["Location"]).status_code == 200
    assert not Install.objects.exists()
    assert not PowerCommand.objects.exists()


def test_actions_are_offered_to_who_may_do_them(client, machine):
    from django.contrib.auth.models import Permission

    user = scenes.make_user("viewer", is_staff=True)
    client.force_login(user)
    address = reverse("admin:machines_machine_changelist")
    assert 'value="install"' not in client.get(address).content.decode()
    user.user_permissions.add(Permission.objects.get(codename="operate_machine"))
    html = client.get(address).content.decode()
    assert 'value="power"' in html
    assert 'value="install"' not in html


def test_edits_are_in_the_history_of_the_thing(admin, machine):
    change(admin, machine, rack="R7", **{"bmc-0-password": "new-secret"})
    html = admin.get(reverse("admin:machines_machine_history", args=[machine.pk])).content.decode()
    assert "rack nothing → R7" in html
    assert "password changed" in html
    assert "new-secret" not in html
    cluster = Cluster.objects.create(name="web")
    admin.post(
        reverse("admin:machines_cluster_change", args=[cluster.pk]), {"name": "web", "colour": "#000000", "vlan": ""}
    )
    html = admin.get(reverse("admin:machines_cluster_history", args=[cluster.pk])).content.decode()
    assert "colour #14b8a6 → #000000" in html


def test_a_search_finds_a_machine_by_what_is_known_of_it(admin, machine):
    installing.make_machine("other", number=2)
    for words in ("node1", "SN1", "52:54:00:00:00:01", "10.0.0.7"):
        html = admin.get(reverse("admin:machines_machine_changelist"), {"q": words}).content.decode()
        assert "node1" in html
        assert f"/machines/machine/{Machine.objects.get(name='other').pk}/" not in html


def test_the_list_costs_the_same_queries_for_any_number(admin, machine, django_assert_max_num_queries):
    for number in range(2, 30):
        installing.make_machine(f"m{number}", number=number)
    with django_assert_max_num_queries(16):
        admin.get(reverse("admin:machines_machine_changelist"))


def test_the_admin_leads_back_to_the_pages_and_wears_their_colours(admin, machine):
    html = admin.get(reverse("admin:index")).content.decode()
    assert 'href="/">Back to the pages' in html
    assert "css/admin.css" in html
    assert "css/admin.css" in admin.get(reverse("admin:machines_machine_change", args=[machine.pk])).content.decode()
