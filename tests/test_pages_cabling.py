"""Ports of switches on the pages of cabling, VLANs and clusters: as read, as entered, and what differs."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.signals import post_init
from django.utils.timezone import now

from dodaiweb import forgetting
from installs.allocation import asking
from machines import cabling, ports
from machines.models import Cluster, Interface, Machine, PortMove, Switch, Vlan
from tests import installing, scenes
from tests.allocation.conftest import asked, cluster, fleet, image, kind  # noqa: F401 - used by their names
from tests.test_pages_content import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def leaf() -> Switch:
    return Switch.objects.create(name="leaf-3", vlans="210", ports="Ethernet1/1..48")


@pytest.fixture
def web() -> Cluster:
    return Cluster.objects.create(name="web", vlan=Vlan.objects.create(vid=210, name="web"))


@pytest.fixture
def cabled(leaf, web):
    """A machine in use whose second card is in a port."""

    def make(port: str = "Ethernet1/7", number: int = 1, **fields) -> Machine:
        values = {"state": "in_use", "cluster": web} | fields
        machine = installing.make_machine(f"node{number}", number=number, **values)
        Interface.objects.create(
            machine=machine, mac=f"52:54:00:00:01:{number:02x}", switch=leaf, switch_port=port, address="10.2.10.7/24"
        )
        return machine

    return make


def reads(switch: Switch, *, ago: timedelta = timedelta(minutes=5), **vlans: int | None) -> None:
    """As a worker stores what the switch said: Ethernet1_7=210."""
    switch.read_report = [{"port": name.replace("_", "/"), "vlan": vlan} for name, vlan in vlans.items()]
    switch.read_at = now() - ago
    switch.save()


def move(switch: Switch, port: str = "Ethernet1/7", **fields) -> PortMove:
    values = {
        "vlan": 210,
        "asked_by": "ada",
        "state": "asked",
        "interface": Interface.objects.filter(switch=switch).first(),
    }
    return PortMove.objects.create(switch=switch, port=port, **values | fields)


def test_a_port_shows_where_it_was_read_and_whose_it_is(operator, cabled, leaf):
    cabled()
    reads(leaf, Ethernet1_7=210, Ethernet1_10=1, Ethernet1_9=None)
    said = text_of(operator.get("/cabling/"))
    assert "Ethernet1/7 VLAN 210 5 min ago VLAN 210 node1 web 52:54:00:00:01:01 10.2.10.7/24" in said
    assert "Ethernet1/9 no VLAN 5 min ago – nobody entered what is there" in said
    assert said.index("Ethernet1/9 ") < said.index("Ethernet1/10 ")
    assert "differs" not in said


def test_a_port_in_another_vlan_is_marked(operator, cabled, leaf, web):
    cabled()
    reads(leaf, Ethernet1_7=1, Ethernet1_8=210)
    for path in ("/cabling/", f"/vlans/{web.vlan_id}/"):
        said = text_of(operator.get(path))
        assert "Ethernet1/7 VLAN 1 5 min ago VLAN 210 differs node1" in said
    assert "leaf-3 Ethernet1/8 VLAN 210 5 min ago – nobody entered what is there" in said


def test_other_vlans_ports_are_not_on_a_vlans_page(operator, cabled, leaf, web):
    cabled()
    reads(leaf, Ethernet1_7=210, Ethernet1_8=300)
    assert "Ethernet1/8" not in text_of(operator.get(f"/vlans/{web.vlan_id}/"))


@pytest.mark.parametrize(
    ("fields", "is_wanted"),
    [({}, True), ({"state": "free"}, False), ({"handled_by": "install 7"}, False), ({"cluster": None}, False)],
)
def test_only_whose_place_is_settled_ought_to_be_somewhere(cabled, leaf, fields, is_wanted):
    cabled(**fields)
    (port,) = ports.ports_of([leaf])
    assert port.is_wanted is is_wanted


def test_what_is_released_ought_to_be_in_quarantine(cabled, leaf):
    leaf.quarantine = Vlan.objects.create(vid=999, name="quarantine")
    leaf.save()
    cabled(state="releasing")
    reads(leaf, Ethernet1_7=210)
    (port,) = ports.ports_of([leaf])
    assert (port.wanted, port.differs) == (999, True)


def test_the_card_that_boots_belongs_nowhere_unless_it_is_alone(cabled, leaf):
    machine = cabled()
    Interface.objects.filter(machine=machine, is_pxe=True).update(switch=leaf, switch_port="Ethernet1/1")
    boots, serves = ports.ports_of([leaf])
    assert (boots.is_wanted, serves.is_wanted) == (False, True)
    Interface.objects.filter(machine=machine, is_pxe=False).delete()
    (boots,) = ports.ports_of([leaf])
    assert boots.is_wanted


def test_a_move_after_the_last_reading_counts(cabled, leaf):
    """It read the port back."""
    cabled()
    reads(leaf, Ethernet1_7=1)
    moved = move(leaf, state="moved", after=210, ended_at=now())
    (port,) = ports.ports_of([leaf])
    assert (port.vlan, port.read_at) == (210, moved.ended_at)
    PortMove.objects.update(ended_at=now() - timedelta(hours=1))
    (port,) = ports.ports_of([leaf])
    assert port.vlan == 1


def test_of_all_that_ever_moved_only_the_last_is_loaded(cabled, leaf):
    cabled()
    reads(leaf, Ethernet1_7=1)
    for hours in range(5, 0, -1):
        for state, after in (("put_back", 1), ("moved", 210 + hours), ("failed", 1)):
            move(leaf, state=state, after=after, ended_at=now() - timedelta(minutes=hours))
    asked_for = move(leaf)
    loaded = []
    post_init.connect(count := lambda instance, **_: loaded.append(instance.pk), sender=PortMove)
    try:
        (port,) = ports.ports_of([leaf])
    finally:
        post_init.disconnect(count, sender=PortMove)
    assert (port.vlan, port.asked) == (211, asked_for)
    assert len(loaded) == 2


def test_what_could_not_be_put_back_is_known_nowhere(operator, cabled, leaf):
    cabled()
    move(leaf, state="astray", problem="leaf-3 Ethernet1/7 could not be put back", ended_at=now())
    assert "Ethernet1/7 leaf-3 Ethernet1/7 could not be put back" in text_of(operator.get("/cabling/"))


def test_a_silent_switch_says_so(operator, leaf):
    leaf.read_report, leaf.read_at = [{"port": "", "problem": "leaf-3 does not answer"}], now()
    leaf.save()
    said = text_of(operator.get("/cabling/"))
    assert "leaf-3 does not answer" in said
    assert "No port of it was entered or read." in said


def test_two_cards_in_one_port_are_named(operator, cabled):
    cabled()
    cabled(number=2)
    assert "entered for node2, 52:54:00:00:01:02, too" in text_of(operator.get("/cabling/"))


def test_an_operator_answers_what_was_asked(operator, cabled, leaf):
    cabled()
    asked_for = move(leaf)
    assert "Put it into VLAN 210." in text_of(operator.get("/cabling/"))
    said = text_of(operator.post(f"/cabling/moves/{asked_for.pk}/", {"done": "yes"}, follow=True))
    assert "Thank you: port Ethernet1/7 of leaf-3 counts as moved." in said
    asked_for.refresh_from_db()
    assert (asked_for.state, asked_for.after, asked_for.ended_by) == ("moved", 210, "operator")
    said = text_of(operator.post(f"/cabling/moves/{asked_for.pk}/", {"done": "yes"}, follow=True))
    assert "Nobody asks for that any more." in said


def test_or_says_why_not(operator, cabled, leaf):
    cabled()
    asked_for = move(leaf)
    said = text_of(operator.post(f"/cabling/moves/{asked_for.pk}/", {"why": ""}, follow=True))
    assert "Say why the port cannot be moved." in said
    operator.post(f"/cabling/moves/{asked_for.pk}/", {"why": "no such port"})
    asked_for.refresh_from_db()
    assert (asked_for.state, asked_for.problem) == ("failed", "no such port")


def test_reading_is_asked_for(operator, leaf):
    other = Switch.objects.create(name="leaf-4")
    said = text_of(operator.post("/cabling/read/", {"switch": leaf.pk}, follow=True))
    assert "1 switch is being read." in said
    assert "being read" in said
    leaf.refresh_from_db()
    other.refresh_from_db()
    assert (leaf.read_asked_by, bool(leaf.read_asked_at), other.read_asked_at) == ("operator", True, None)
    assert "2 switches are being read." in text_of(operator.post("/cabling/read/", follow=True))


def test_a_viewer_looks_and_touches_nothing(client, cabled, leaf):
    cabled()
    asked_for = move(leaf)
    client.force_login(scenes.make_user("viewer"))
    html = client.get("/cabling/").content.decode()
    assert "Put it into VLAN 210." in html
    assert "/cabling/moves/" not in html
    assert "/cabling/read/" not in html
    assert client.post(f"/cabling/moves/{asked_for.pk}/", {"done": "yes"}).status_code == 403
    assert client.post("/cabling/read/").status_code == 403


def test_without_switches_it_says_what_comes_here(operator):
    assert "No switch is entered" in text_of(operator.get("/cabling/"))


@pytest.mark.parametrize("path", ["/cabling/", "/vlans/{}/", "/clusters/{}/"])
def test_more_ports_need_no_more_queries(operator, cabled, leaf, web, path, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    cabled()
    move(leaf)
    path = path.format(web.vlan_id if "vlans" in path else web.pk)
    with CaptureQueriesContext(connection) as few:
        operator.get(path)
    for number in range(2, 9):
        cabled(f"Ethernet1/{number + 10}", number)
        move(leaf, f"Ethernet1/{number + 10}")
        Switch.objects.create(name=f"other-{number}")
    with django_assert_max_num_queries(len(few)):
        operator.get(path)


def test_a_cluster_shows_its_network_what_was_asked_for_and_leads_to_the_form(operator, fleet, asked, cluster):  # noqa: F811
    fleet(3)
    with scenes.named_ramdisk():
        asking.ask(replace(asked, owner="ada"), by="ada")
    said = text_of(operator.get(f"/clusters/{cluster.pk}/"))
    assert "Network 10.2.10.0/24 Gateway 10.2.10.1" in said
    assert "2 × m1, debian Working" in said
    assert "0 of 2 machines are ready, 2 under way" in said
    assert "10.2.10.2/24" in said
    html = operator.get(f"/clusters/{cluster.pk}/").content.decode()
    assert f'href="/allocations/new/?cluster={cluster.pk}"' in html
    form = operator.get(f"/allocations/new/?cluster={cluster.pk}").content.decode()
    assert f'<option value="{cluster.pk}" selected>' in form


# Forgotten.


def old(*moves: PortMove) -> list[PortMove]:
    PortMove.objects.filter(pk__in=[each.pk for each in moves]).update(ended_at=now() - timedelta(days=400))
    return list(moves)


def test_old_moves_are_forgotten_but_for_the_last_of_each_port(cabled, leaf):
    """The last tells where the port is; where a person said last that it is counts where no switch can be asked."""
    cabled()
    gone = old(
        move(leaf, state="moved", after=1), move(leaf, state="failed"), move(leaf, state="withdrawn", interface=None)
    )
    stays = old(
        move(leaf, state="moved", after=210), move(leaf, state="withdrawn"), move(leaf, state="failed"),
        move(leaf, "Ethernet1/8", state="moved", after=211),
    )  # fmt: skip
    stays += [move(leaf, state="put_back", after=210, ended_at=now()), move(leaf)]
    assert forgetting.forget_old() == len(gone)
    assert set(PortMove.objects.all()) == set(stays)
    assert cabling.told(leaf, "Ethernet1/7") == 210


@pytest.mark.parametrize(
    "fields", [{"state": "releasing"}, {"state": "erasing"}, {"state": "broken"}, {"handled_by": "install 7"}]
)
def test_what_may_have_to_go_back_where_it_was_is_not_forgotten(cabled, leaf, fields):
    machine = cabled(**fields)
    stays = old(move(leaf, state="moved", before=210), move(leaf, state="moved", before=999))
    assert forgetting.forget_old() == 0
    assert set(PortMove.objects.all()) == set(stays)
    Machine.objects.filter(pk=machine.pk).update(state="free", handled_by="")
    assert forgetting.forget_old() == 1
