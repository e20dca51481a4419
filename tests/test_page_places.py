"""Clusters, VLANs and sightings: what is in them, and what becomes of unknown machines."""

import pytest

from installs import actions
from machines import actions as machine_actions
from machines import places
from machines.models import Cluster, Interface, Machine, Sighting, Switch, Vlan
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Cluster:
    return Cluster.objects.create(name="web", colour="#3b82f6", vlan=Vlan.objects.create(vid=30, name="storage"))


@pytest.fixture
def seen() -> Sighting:
    installing.main_site()
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address="10.0.0.9", platform="efi", serial="X1", uuid=uuid)
    return Sighting.objects.get()


def test_a_cluster_counts_its_machines_by_state_without_the_retired(operator, web):
    for number, state in enumerate(("free", "free", "in_use", "retired"), start=1):
        installing.make_machine(f"node{number}", number=number, state=state, cluster=web)
    installing.make_machine("alone", number=9)
    said = text_of(operator.get("/clusters/"))
    assert "web 30 storage 3 2 free, 1 in use" in said
    assert "One machine is in no cluster." in said
    (row,) = places.cluster_rows()
    shares = [(share.state, share.count, round(share.percent)) for share in row.shares]
    assert shares == [("free", 2, 67), ("in_use", 1, 33)]


def test_a_cluster_lists_its_machines(operator, web):
    installing.make_machine(cluster=web, image_name="debian-12", rack="R1", unit=7)
    installing.make_machine("other", number=2)
    said = text_of(operator.get(f"/clusters/{web.pk}/"))
    assert "node1 Free" in said
    assert "debian-12 DHCP R1·7" in said
    assert "other" not in said
    assert operator.get("/clusters/99/").status_code == 404


def test_a_machine_that_is_being_inspected_is_not_called_free(operator, web):
    with scenes.named_ramdisk():
        actions.start_inspection(installing.make_machine(cluster=web), by="ada")
    installing.make_machine("node2", number=2, cluster=web)
    said = text_of(operator.get(f"/clusters/{web.pk}/"))
    assert "node1 Being inspected" in said
    assert "node2 Free" in said


def test_the_empty_choice_of_a_sighting_has_a_word(operator, seen):
    html = operator.get(f"/sightings/{seen.pk}/").content.decode()
    assert '<option value="" selected>In no cluster</option>' in html
    assert "---------" not in html


def test_a_sighting_that_is_gone_is_said_to_be_gone(operator, seen):
    number = seen.pk
    operator.post(f"/sightings/{number}/dismiss/")
    for page in (f"/sightings/{number}/", f"/sightings/{number}/card/", f"/sightings/{number}/dismiss/"):
        said = text_of(operator.post(page, {"name": "x", "machine": "x"}, follow=True))
        assert "somebody else entered or forgot it" in said
    assert "somebody else entered or forgot it" in text_of(operator.get(f"/sightings/{number}/", follow=True))


def test_a_machine_that_failed_stands_as_failed_in_its_cluster(operator, web):
    failure = scenes.failed(installing.make_machine(cluster=web), installing.make_image())
    installing.make_machine("node2", number=2, cluster=web)
    assert "web 30 storage 2 1 free, 1 failed" in text_of(operator.get("/clusters/"))
    html = operator.get(f"/clusters/{web.pk}/")
    assert "node1 Failed the image's file is not the one in the catalogue" in text_of(html)
    assert f'href="/installs/{failure.pk}/"' in html.content.decode()
    assert "1 free, 1 failed" in text_of(operator.get(f"/vlans/{web.vlan_id}/"))


def test_a_vlan_names_its_clusters_and_the_ports_of_their_machines(operator, web):
    installing.make_machine(cluster=web)
    Interface.objects.update(switch=Switch.objects.create(name="leaf-3"), switch_port="Ethernet1/7")
    assert "30 storage web 1" in text_of(operator.get("/vlans/"))
    said = text_of(operator.get(f"/vlans/{web.vlan_id}/"))
    assert "leaf-3 Ethernet1/7 not read yet – node1 web 52:54:00:00:00:01" in said
    assert "This is what is entered." in text_of(operator.get("/vlans/"))


@pytest.mark.parametrize(
    ("page", "words"),
    [("clusters", "There is no cluster yet"), ("vlans", "There is no VLAN yet"), ("sightings", "No unknown machine")],
)
def test_empty_pages_say_what_comes_here(operator, page, words):
    assert words in text_of(operator.get(f"/{page}/"))


def test_only_who_may_edit_is_led_to_the_admin(client, web):
    client.force_login(scenes.make_user("admin", is_staff=True))
    assert f"/admin/machines/cluster/{web.pk}/change/" in client.get(f"/clusters/{web.pk}/").content.decode()
    client.force_login(scenes.make_user("operator"))
    for page in (f"/clusters/{web.pk}/", "/clusters/", "/vlans/", f"/vlans/{web.vlan_id}/"):
        assert "/admin/" not in client.get(page).content.decode()


@pytest.mark.parametrize("page", ["/clusters/", "/clusters/{}/", "/vlans/", "/sightings/"])
def test_more_rows_need_no_more_queries(operator, web, page, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    installing.make_machine(cluster=web)
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address=None)
    with CaptureQueriesContext(connection) as few:
        operator.get(page.format(web.pk))
    for number in range(2, 12):
        cluster = Cluster.objects.create(name=f"c{number}", vlan=Vlan.objects.create(vid=100 + number, name="x"))
        installing.make_machine(f"node{number}", number=number, cluster=web if number % 2 else cluster)
        machine_actions.record_sighting(f"3c:ec:ef:00:00:{number:02x}", address=None)
    with django_assert_max_num_queries(len(few)):
        operator.get(page.format(web.pk))


def test_an_unknown_machine_becomes_one_with_what_it_said(operator, seen, web):
    html = operator.get(f"/sightings/{seen.pk}/").content.decode()
    for value in ("3c:ec:ef:00:00:01", "X1", seen.uuid):
        assert f'value="{value}"' in html
    form = {"name": "node7", "serial": "X1", "uuid": seen.uuid, "cluster": web.pk, "rack": "R1", "unit": "7"}
    response = operator.post(f"/sightings/{seen.pk}/", form)
    assert response["Location"] == "/machines/node7/"
    machine = Machine.objects.get()
    assert (machine.serial, machine.uuid, machine.cluster, machine.state) == ("X1", seen.uuid, web, "new")
    assert machine.pxe_interface.mac == "3c:ec:ef:00:00:01"
    assert not Sighting.objects.exists()


@pytest.mark.parametrize(
    ("typed", "error"),
    [({"name": "Not A Name"}, "Use lower-case letters"), ({"name": ""}, "This field is required"),
     ({"name": "node1"}, "already exists"), ({"name": "node7", "uuid": "no uuid"}, "is no UUID"),
     ({"name": "node7", "unit": "top"}, "Enter a whole number"),
     ({"name": "node7", "serial": "SN1"}, "SN1 belongs to node1")],
)  # fmt: skip
def test_a_wrong_form_says_what_and_enters_nothing(operator, seen, typed, error):
    installing.make_machine()
    response = operator.post(f"/sightings/{seen.pk}/", typed)
    assert response.status_code == 422
    assert error in text_of(response)
    assert f'value="{typed["name"]}"' in response.content.decode()
    assert Machine.objects.count() == 1
    assert Sighting.objects.exists()


def test_it_can_be_a_card_of_a_machine_that_is_known(operator, seen):
    machine = installing.make_machine()
    said = text_of(operator.post(f"/sightings/{seen.pk}/card/", {"machine": " node1 "}, follow=True))
    assert "3c:ec:ef:00:00:01 is a card of node1 now." in said
    assert machine.interfaces.get(mac="3c:ec:ef:00:00:01").is_pxe is False
    assert not Sighting.objects.exists()


def test_a_machine_without_cards_boots_from_the_one_it_gets(operator, seen):
    machine = installing.make_machine()
    machine.interfaces.all().delete()
    operator.post(f"/sightings/{seen.pk}/card/", {"machine": "node1"})
    assert machine.interfaces.get().is_pxe is True


def test_a_card_of_nobody_is_refused(operator, seen):
    said = text_of(operator.post(f"/sightings/{seen.pk}/card/", {"machine": "no-such"}, follow=True))
    assert "There is no machine no-such in the inventory" in said
    assert Sighting.objects.exists()


def test_dismissing_forgets_it_until_it_asks_again(operator, seen):
    assert "is forgotten" in text_of(operator.post(f"/sightings/{seen.pk}/dismiss/", follow=True))
    assert not Sighting.objects.exists()
    machine_actions.record_sighting(seen.mac, address="10.0.0.9")
    assert Sighting.objects.get().count == 1


def test_a_viewer_looks_and_touches_nothing(client, seen):
    client.force_login(scenes.make_user("viewer"))
    html = client.get("/sightings/").content.decode()
    assert "3c:ec:ef:00:00:01" in html
    assert "Dismiss" not in html
    assert client.get(f"/sightings/{seen.pk}/").status_code == 403
    assert client.post(f"/sightings/{seen.pk}/dismiss/").status_code == 403
