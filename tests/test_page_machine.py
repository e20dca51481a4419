"""The page of one machine: what it shows, and what its buttons do."""

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now
from django.utils.translation import override

from machines import cabling
from machines.acting import on_behalf_of
from machines.history import changes_of
from machines.models import Cluster, Interface, Machine, PortMove, Switch
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power")


@pytest.fixture
def machine(db) -> Machine:
    return installing.make_machine()


def shown(client) -> str:
    return text_of(client.get("/machines/node1/"))


def test_what_differs_from_the_inventory_is_marked(operator, machine):
    Machine.objects.update(facts={"serial": "OTHER", "product": "X11"}, inspected_at=now())
    said = shown(operator)
    assert "Serial number OTHER SN1 differs" in said
    assert "another machine answers here, or the inventory is wrong" in said
    Machine.objects.update(facts={"serial": "SN1"})
    assert "differs" not in shown(operator)


def test_cards_say_speed_link_and_where_their_cable_goes(operator, machine):
    Interface.objects.update(
        switch=Switch.objects.create(name="leaf-3"),
        switch_port="Ethernet1/7",
        speed_mbps=25000,
        has_link=True,
        seen_at=now(),
        name="eno1",
    )
    assert "eno1 · 25 Gb/s · link · DHCP Cabled to leaf-3, port Ethernet1/7" in shown(operator)
    Interface.objects.update(seen_at=None, switch=None)
    assert "entered, not found yet" in shown(operator)
    assert "Nobody entered where its cable goes" in shown(operator)


def test_a_disk_says_what_is_on_it(operator, machine):
    disk = machine.disks.get()
    disk.seen_at = now()
    disk.save()
    assert "Nothing found on it" in shown(operator)
    Machine.objects.update(image_name="debian-12")
    assert "debian-12 is installed" in shown(operator) and "Nothing found" not in shown(operator)
    disk.signatures = [{"type": "ext4", "label": "root"}]
    disk.save()
    assert "debian-12 is installed · Carries ext4 “root”" in shown(operator)
    machine.disks.update(signatures=[], seen_at=None)
    assert "debian-12 is installed · Nobody has looked what is on it" in shown(operator)


def test_who_changed_it_is_said_in_the_readers_language_where_no_person_did(machine):
    with on_behalf_of("the end of the time to undo"):
        machine.owner = "ada"
        machine.save()
    assert [change.by for change in changes_of(machine)] == ["the end of the time to undo"]
    with override("ja"):
        assert [change.by for change in changes_of(machine)] == ["取り消し期限の終了"]


@pytest.fixture
def asked(machine) -> PortMove:
    """Somebody is to move a port of this machine."""
    patch = Switch.objects.create(name="patch", vlans="210", ports="p1")
    card = machine.interfaces.get()
    card.switch, card.switch_port = patch, "p1"
    card.save()
    cabling.move_cards({card: 210}, by="install 7")
    return PortMove.objects.get()


def test_a_port_to_be_moved_by_hand_is_asked_for_and_confirmed(operator, asked):
    said = shown(operator)
    assert "This waits for you Put port p1 of the switch patch into VLAN 210." in said
    assert "for install 7" in said
    path = f"/machines/node1/port-moves/{asked.pk}/"
    said = text_of(operator.post(path, {"done": "yes"}, follow=True))
    assert "Thank you: port p1 of patch counts as moved." in said
    assert "This waits for you" not in said
    asked.refresh_from_db()
    assert (asked.state, asked.after, asked.ended_by) == ("moved", 210, "operator")
    assert "Nobody asks for that any more." in text_of(operator.post(path, {"done": "yes"}, follow=True))


def test_a_port_that_cannot_be_moved_by_hand_is_said_to_be(operator, asked):
    path = f"/machines/node1/port-moves/{asked.pk}/"
    assert "Say why the port cannot be moved." in text_of(operator.post(path, {"why": " "}, follow=True))
    said = text_of(operator.post(path, {"why": scenes.HOSTILE}, follow=True))
    assert "Noted: port p1 of patch stays where it is." in said
    asked.refresh_from_db()
    assert (asked.state, asked.after, asked.problem) == ("failed", None, scenes.HOSTILE)
    other = installing.make_machine("node2", number=2)
    assert operator.post(f"/machines/{other.name}/port-moves/{asked.pk}/", {"done": "yes"}).status_code == 404


def test_bonds_and_vlans_stand_beside_the_cards(operator, machine):
    machine.interfaces.update(bond="bond0")
    machine.links.create(kind="bond", name="bond0", mode="802.3ad", address="10.0.0.5/24")
    machine.links.create(kind="vlan", name="vlan210", vid=210, over="bond0")
    said = shown(operator)
    assert "part of bond0" in said
    assert "bond0 Bond All, agreed with the switch (802.3ad) · 10.0.0.5/24" in said
    assert "vlan210 VLAN VLAN 210 over bond0 · no address" in said


def test_setting_aside_and_taking_back(operator, machine):
    until = (now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    said = text_of(operator.post("/machines/node1/set-aside/", {"why": "fan 3", "until": until}, follow=True))
    assert "node1 is set aside." in said
    assert "Set aside by operator: fan 3 · until" in said
    assert "Take back" in said
    assert "Set aside…" not in said
    assert "node1 is taken back." in text_of(operator.post("/machines/node1/take-back/", follow=True))
    assert Machine.objects.get().state == "free"


@pytest.mark.parametrize(
    ("typed", "error"),
    [({"why": " "}, "Say why"), ({"why": "fan", "until": "2001-01-01T00:00"}, "This time is over"),
     ({"why": "fan", "until": "soon"}, "Enter a valid date/time"), ({"why": "x" * 256}, "at most 255 characters")],
)  # fmt: skip
def test_a_wrong_form_is_said_and_keeps_what_was_typed(operator, machine, typed, error):
    response = operator.post("/machines/node1/set-aside/", typed)
    assert response.status_code == 422
    assert error in text_of(response)
    assert f'value="{typed["why"].strip() and typed["why"]}' in response.content.decode()
    assert Machine.objects.get().state == "free"


def test_a_time_that_is_over_is_said(operator, machine):
    Machine.objects.update(state="aside", aside_by="grace", aside_why="fan", aside_until=now() - timedelta(hours=3))
    assert "the time was over 3 h ago: take it back, or set it aside anew" in shown(operator)


def was(client) -> str:
    return re.search(r'name="was" value="(\w+)"', client.get("/machines/node1/").content.decode())[1]


def test_notes_are_saved_unless_somebody_else_was_faster(operator, machine):
    mine, theirs = was(operator), was(operator)
    operator.post("/machines/node1/notes/", {"notes": "theirs", "was": theirs})
    response = operator.post("/machines/node1/notes/", {"notes": "mine", "was": mine})
    assert response.status_code == 409
    assert "Somebody changed the notes meanwhile" in text_of(response)
    assert ">mine</textarea>" in response.content.decode()
    assert Machine.objects.get().notes == "theirs"
    operator.post("/machines/node1/notes/", {"notes": "both", "was": was(operator)})
    assert Machine.objects.get().notes == "both"


def test_a_cluster_is_chosen(operator, machine):
    cluster = Cluster.objects.create(name="web")
    said = text_of(operator.post("/machines/node1/cluster/", {"cluster": cluster.pk}, follow=True))
    assert "node1 is in the cluster web now." in said
    operator.post("/machines/node1/cluster/", {"cluster": ""})
    assert Machine.objects.get().cluster is None
    assert operator.post("/machines/node1/cluster/", {"cluster": "77"}).status_code == 404


def test_protecting_is_for_admins(operator, machine):
    assert "protection" not in operator.get("/machines/node1/").content.decode()
    assert operator.post("/machines/node1/protection/", {"protect": "yes"}).status_code == 403
    assert operator.post("/machines/node1/retire/").status_code == 403


def test_a_protected_machine_has_no_dangerous_buttons(admin, machine):
    said = text_of(admin.post("/machines/node1/protection/", {"protect": "yes"}, follow=True))
    assert "node1 is protected now." in said
    for word in ("Inspect", "Install", "Reset", "Retire…"):
        assert not re.search(rf"\b{word} ", said), word
    assert "Take the protection off" in said


def test_retiring_and_bringing_back(admin, machine):
    said = text_of(admin.post("/machines/node1/retire/", follow=True))
    assert "Retired" in said
    assert "Bring back into service" in said
    assert "yet to be" not in text_of(admin.post("/machines/node1/bring-back/", follow=True))
    assert Machine.objects.get().state == "new"


def test_reinstalling_is_never_one_click_away(operator, machine):
    Machine.objects.update(state="in_use", image_name="debian-12")
    html = operator.get("/machines/node1/").content.decode()
    menu = html.split('<details class="menu">')[1].split("</details>")[0]
    assert html.count("/machines/node1/install/") == menu.count("/machines/node1/install/") == 1
    assert "Reinstall…" in menu


def test_the_last_power_commands_are_listed(operator, machine):
    operator.post("/machines/node1/power/", {"action": "on"})
    assert "Switch on by operator under way" in shown(operator)


def test_a_viewer_reads_the_notes_and_changes_nothing(client, machine):
    Machine.objects.update(notes="bring a ladder")
    client.force_login(scenes.make_user("viewer"))
    html = client.get("/machines/node1/").content.decode()
    assert "bring a ladder" in html
    assert "<textarea" not in html
    assert 'class="menu"' not in html


def test_a_broken_machine_is_marked_and_repaired(operator, machine):
    said = text_of(operator.post("/machines/node1/broken/", {"why": "fan 3"}, follow=True))
    assert "node1 is marked as broken." in said and "Marked as broken by operator: fan 3" in said
    assert "node1 is repaired: inspect it next." in text_of(operator.post("/machines/node1/repaired/", follow=True))
    assert Machine.objects.get().state == "new"


def test_a_reservation_is_shown_and_given_free(operator, machine):
    assert "Reserved for ada" in text_of(operator.post("/machines/node1/reserve/", {"owner": "ada"}, follow=True))
    assert "node1 is no longer reserved." in text_of(operator.post("/machines/node1/give-free/", follow=True))
    assert Machine.objects.get().reserved_for == ""


def test_what_is_typed_wrong_is_kept_in_its_form(operator, machine):
    response = operator.post("/machines/node1/reserve/", {"owner": "ada", "until": "2001-01-01T10:00"})
    assert response.status_code == 422
    page = response.content.decode()
    assert 'value="2001-01-01T10:00"' in page and "This time is over" in text_of(response)
