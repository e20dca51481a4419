"""From the plan to the install: what is shown is what is approved."""

import re

import pytest
from django.urls import reverse

from installs.models import Image, Install
from machines.models import Disk, Machine, Site, Switch
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power", "named_ramdisk")


@pytest.fixture
def machine(db) -> Machine:
    return installing.make_machine()


@pytest.fixture
def image(db) -> Image:
    return installing.make_image()


def shown_form(client, machine: Machine, image: Image) -> dict[str, str]:
    """The hidden fields of the page's form, as a browser would send them."""
    html = client.get(reverse("plan", args=[machine.name]), {"image": image.pk}).content.decode()
    return {"image": str(image.pk), "approved": re.search(r'name="approved" value="([0-9a-f]{64})"', html)[1]}


def press(client, machine: Machine, form: dict[str, str]):
    return client.post(reverse("plan", args=[machine.name]), form)


def test_the_plan_shows_the_disk_that_is_wiped(operator, machine, image):
    machine.disks.update(model="Micron 5300", signatures=[{"type": "ext4", "label": "old-data"}])
    said = text_of(operator.get("/machines/node1/install/"))
    for words in (
        "DISK1",
        "107 GB",
        "Micron 5300",
        "/dev/sda",
        "ext4 “old-data”",
        "swap 537 MB",
        "all of it will be lost",
        "Wipe DISK1 and install debian",
    ):
        assert words in said


def test_approving_the_plan_starts_the_install_and_leads_to_it(operator, machine, image):
    response = press(operator, machine, shown_form(operator, machine, image))
    install = Install.objects.get()
    assert response["Location"] == reverse("install", args=[install.pk])
    assert (install.requested_by, install.machine, install.image) == ("operator", machine, image)


def test_a_plan_that_changed_meanwhile_starts_nothing_and_shows_the_new_one(operator, machine, image):
    form = shown_form(operator, machine, image)
    machine.disks.update(serial="SWAPPED")
    response = press(operator, machine, form)
    assert response.status_code == 409
    assert "changed since this plan was shown" in text_of(response)
    assert "SWAPPED" in text_of(response)
    assert not Install.objects.exists()


def test_a_refused_plan_is_brought_up_to_date_with_its_image(operator, machine, image):
    address = f"/machines/{machine.name}/install/"
    refused = press(operator, machine, {"image": str(image.pk)}).content.decode()
    assert f'data-address="{address}?image={image.pk}"' in refused
    assert f'data-address="{address}"' in operator.get(address).content.decode()


@pytest.mark.parametrize("approved", [{}, {"approved": ""}, {"approved": "0" * 64}])
def test_without_the_digest_of_the_plan_nothing_starts(operator, machine, image, approved):
    assert press(operator, machine, {"image": str(image.pk)} | approved).status_code == 409
    assert not Install.objects.exists()


@pytest.mark.parametrize("number", ["", "99", "x", "-1", "²"])
def test_without_a_known_image_nothing_starts(operator, machine, image, number):
    assert press(operator, machine, {"image": number, "approved": "x"}).status_code == 302
    assert not Install.objects.exists()


def test_a_machine_in_use_wants_its_name_typed(operator, machine, image):
    Machine.objects.update(state="in_use")
    form = shown_form(operator, machine, image)
    assert "node1 is in use. Type its name, node1, to wipe it" in text_of(operator.get("/machines/node1/install/"))
    for typed in ({}, {"typed": "node2"}, {"typed": "NODE1"}):
        assert press(operator, machine, form | typed).status_code == 422
    assert not Install.objects.exists()
    assert press(operator, machine, form | {"typed": " node1 "}).status_code == 302
    assert Install.objects.count() == 1


def test_problems_are_listed_and_there_is_no_button(operator, machine, image):
    Machine.objects.update(protected=True)
    Disk.objects.create(machine=machine, serial="OTHER", is_root=True)
    said = text_of(operator.get("/machines/node1/install/"))
    assert "This cannot be installed yet" in said
    assert "protected" in said
    assert "2 disks of node1 are marked as root disk" in said
    assert "Wipe" not in said


def test_with_several_images_one_is_chosen_first(operator, machine, image):
    installing.make_image("another")
    assert "Choose an image to see what would be wiped" in text_of(operator.get("/machines/node1/install/"))


def test_a_retired_image_is_not_offered(operator, machine, image):
    from django.utils.timezone import now

    Image.objects.update(retired_at=now())
    assert "There is no image to install" in text_of(operator.get(f"/machines/node1/install/?image={image.pk}"))


def test_pressing_twice_starts_one_install(operator, machine, image):
    form = shown_form(operator, machine, image)
    press(operator, machine, form)
    assert press(operator, machine, form).status_code == 409
    assert Install.objects.count() == 1


def test_cancel_and_retry(operator, machine, image):
    press(operator, machine, shown_form(operator, machine, image))
    first = Install.objects.get()
    operator.post(reverse("cancel", args=[first.pk]))
    scenes.settle(first)
    assert (first.state, first.error) == ("cancelled", "cancelled by operator")
    response = operator.post(reverse("retry", args=[first.pk]))
    second = Install.objects.exclude(pk=first.pk).get()
    assert (response["Location"], second.retry_of) == (reverse("install", args=[second.pk]), first)


def test_retrying_on_a_machine_in_use_leads_to_its_plan_first(operator, machine, image):
    failed = scenes.failed(machine, image)
    Machine.objects.update(state="in_use")
    response = operator.post(reverse("retry", args=[failed.pk]))
    assert response["Location"] == f"/machines/node1/install/?image={image.pk}"
    assert Install.objects.count() == 1


def test_what_has_ended_cannot_be_cancelled_and_that_is_said(operator, machine, image):
    failed = scenes.failed(machine, image)
    said = text_of(operator.post(reverse("cancel", args=[failed.pk]), follow=True))
    assert "there is nothing to cancel" in said


def test_inspecting_starts_an_inspection(operator, machine):
    operator.post("/machines/node1/inspect/")
    assert Install.objects.get().is_inspection


def test_the_plan_says_who_used_it_last_and_what_it_is_now(operator, machine, image):
    scenes.installed(machine, image)
    Machine.objects.update(owner="storage team", notes="bring a ladder")
    said = text_of(operator.get("/machines/node1/install/"))
    for words in ("State In use", "Owner storage team", "Last install debian by ada", "Notes bring a ladder"):
        assert words in said


def test_the_plan_says_which_ports_are_moved(operator, machine, image):
    from machines.models import Cluster, Vlan

    assert "Dodai moves no switch port: every card stays in the VLAN it is in now. It is in no cluster." in text_of(
        operator.get("/machines/node1/install/")
    )
    cluster = Cluster.objects.create(name="web", vlan=Vlan.objects.create(vid=30, name="storage"))
    Machine.objects.update(cluster=cluster)
    said = text_of(operator.get("/machines/node1/install/"))
    assert "Its cluster web is on VLAN 30 storage: if its ports are not there, somebody must move them." in said
    machine.interfaces.update(switch=Switch.objects.create(name="leaf-3"), switch_port="7")
    assert "somebody must move them" in text_of(operator.get("/machines/node1/install/")), "no port of it is listed"
    Switch.objects.update(ports="7")
    said = text_of(operator.get("/machines/node1/install/"))
    assert "leaf-3 port 7 goes into VLAN 30. Its cluster web is on VLAN 30 storage." in said
    assert "52:54:00:00:00:01 is cabled to leaf-3, port 7." in said
    Site.objects.update(provision_vlan=Vlan.objects.create(vid=9, name="boot"))
    both = "leaf-3 port 7 goes into VLAN 9 for the network boot, and into VLAN 30 once the OS has called."
    assert both in text_of(operator.get("/machines/node1/install/"))
    Machine.objects.update(cluster=None)
    said = text_of(operator.get("/machines/node1/install/"))
    assert "leaf-3 port 7 goes into VLAN 9 for the network boot." in said and "moves no switch port" not in said


def test_the_expected_time_is_a_guess_until_it_was_measured(operator, machine, image):
    said = text_of(operator.get("/machines/node1/install/"))
    assert "734 MB to fetch, 629 MB to write" in said
    assert "a guess from its size: this image was never installed here" in said
    other = installing.make_machine("node2", number=2)
    scenes.spread(scenes.installed(other, image), 6)
    assert "median of 1 install of this image on all models" in text_of(operator.get("/machines/node1/install/"))


def test_the_same_model_counts_more_once_it_was_seen_often(machine, image):
    from installs.forecast import forecast

    for number, product in ((2, "X11"), (3, "X11"), (4, "X11"), (5, "slow")):
        other = installing.make_machine(f"node{number}", number=number, facts={"product": product})
        scenes.spread(scenes.installed(other, image), 60 if product == "slow" else 6)
    machine.facts = {"product": "X11"}
    found = forecast(machine, image)
    assert (found.is_measured, found.basis) == (True, "median of 3 installs of this image on X11")
    machine.facts = {"product": "unseen"}
    assert forecast(machine, image).basis == "median of 4 installs of this image on all models"


def test_a_disk_with_the_data_of_others_wants_the_name_typed(operator, machine, image):
    machine.disks.update(signatures=[{"type": "gpt"}, {"type": "LVM2_member"}])
    form = shown_form(operator, machine, image)
    assert "Its disk carries LVM2_member, which Dodai did not write. Type its name, node1" in text_of(
        operator.get("/machines/node1/install/")
    )
    assert press(operator, machine, form).status_code == 422
    assert press(operator, machine, form | {"typed": "node1"}).status_code == 302


def test_what_dodai_wrote_itself_or_a_bare_partition_table_needs_no_typing(operator, machine, image):
    machine.disks.update(signatures=[{"type": "gpt"}])
    assert "Type its name" not in text_of(operator.get("/machines/node1/install/"))
    scenes.failed(machine, image)
    machine.disks.update(signatures=[{"type": "ext4"}])
    assert "Type its name" not in text_of(operator.get("/machines/node1/install/"))


def test_the_plan_says_whether_the_image_will_boot_here(operator, machine, image, monkeypatch):
    from installs.images.boot_match import Match

    assert "Will it boot? Nobody knows. Nobody has looked into the drivers of debian." in text_of(
        operator.get("/machines/node1/install/")
    )
    told = Match("no", ["megaraid_sas"], "There is no megaraid_sas in debian.")
    monkeypatch.setattr("installs.views.buttons.match", lambda image, machine: told)
    said = text_of(operator.get("/machines/node1/install/"))
    assert "Installed, it would not start: There is no megaraid_sas in debian." in said
    assert "Will it boot? No." in said
