"""Pages of allocations: the form with its plan, what it asks for, and how one goes."""

import re
from dataclasses import replace

import pytest

from installs.allocation import asking, turns
from installs.allocation.lifecycle import Part, State
from installs.models import Allocation, Install
from machines.models import Interface, Machine, MachineType, Switch
from tests import installing, pooling, scenes
from tests.allocation.conftest import asked, cluster, fleet, image, kind  # noqa: F401 - used by their names
from tests.test_pages_content import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fake_power():
    from machines.power import fake

    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture
def form(asked):  # noqa: F811
    """As the page sends it."""

    def make(**changes):
        given = {"type": asked.type.pk, "image": asked.image.pk, "cluster": asked.cluster.pk, "count": 2, "spares": 0}
        return given | changes

    return make


def approved(page) -> str:
    return re.search(r'name="approved" value="(\w+)"', page.content.decode())[1]


def bar(page) -> int:
    """Per cent of the first bar, which is that of the whole."""
    return int(re.search(r'<progress max="100" value="(\d+)"', page.content.decode())[1])


def test_the_form_comes_first_and_asks_for_nothing(operator, fleet, asked):  # noqa: F811
    fleet(2)
    said = text_of(operator.get("/allocations/new/"))
    assert "Choose type, image and cluster to see what you would get." in said
    assert "This field is required" not in said
    assert operator.get(f"/allocations/new/?cluster={asked.cluster.pk}").status_code == 200


def test_the_plan_names_machines_ways_disks_ports_and_addresses(operator, fleet, form, asked):  # noqa: F811
    machines = fleet(5)
    leaf = Switch.objects.create(name="leaf-3", ports="Ethernet1/1..48")
    Interface.objects.filter(machine=machines[1]).update(switch=leaf, switch_port="Ethernet1/7")
    pooling.warm(machines[0], asked.image)
    Machine.objects.filter(pk=machines[3].pk).update(protected=True)
    said = text_of(operator.get("/allocations/new/", form(spares=1)))
    assert "1 is handed over, 1 is installed, 1 spare" in said
    assert "node1 Handed over its system stays, in seconds stays as it is none is entered 10.2.10.2/24" in said
    assert "leaf-3 Ethernet1/7 → VLAN 210 10.2.10.3/24" in said
    assert "DISK2 is wiped" in said
    assert "node3 Spare" in said
    assert "It is protected. node4" in said
    assert "It would do, but others come first. node5" in said
    assert "Hand over 1 machine, install 1 machine" in said
    assert not Allocation.objects.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "in_use"}, "It is in use."), ({"handled_by": "install 7"}, "It is in the hands of install 7."),
        ({"reserved_for": "bob"}, "It is reserved for bob."),
        ({"unerased": True}, "Its disks have to be erased first."),
        ({"state": "new", "inspected_at": None}, "It was never looked at from inside: inspect it."),
        ({"state": "broken"}, "It is broken."),
    ],
)  # fmt: skip
def test_it_says_why_not(operator, fleet, form, change, why):  # noqa: F811
    node1, _node2 = fleet(2)
    Machine.objects.filter(pk=node1.pk).update(**change)
    page = operator.get("/allocations/new/", form(count=1))
    assert f"Why not the other machines of m1 {why} node1" in text_of(page)
    assert "node2 Installed" in text_of(page)


def test_asking_for_what_was_shown_begins_it(operator, fleet, form):  # noqa: F811
    fleet(3)
    given = form(spares=1, owner="ada", all_or_nothing="on")
    answer = operator.post(
        "/allocations/new/", given | {"approved": approved(operator.get("/allocations/new/", given))}
    )
    made = Allocation.objects.get()
    assert answer["Location"] == f"/allocations/{made.pk}/"
    assert (made.count, made.spares, made.owner, made.all_or_nothing) == (2, 1, "ada", True)
    assert made.requested_by == "operator"
    assert Install.objects.count() == 2


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_another_plan_is_shown_and_not_done(operator, fleet, form, digest):  # noqa: F811
    fleet(2)
    answer = operator.post("/allocations/new/", form(approved=digest))
    assert answer.status_code == 409
    assert "Other machines are free now" in text_of(answer)
    assert f'value="{approved(answer)}"' in answer.content.decode()
    assert f'data-address="/allocations/new/?type={form()["type"]}&amp;image=' in answer.content.decode()
    assert not Allocation.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": "0"}, "greater than or equal to 1"), ({"count": "many"}, "Enter a whole number"),
        ({"count": "100000"}, "less than or equal to 200"), ({"type": "77777"}, "Select a valid choice"),
        ({"image": "9" * 40}, "Select a valid choice"), ({"owner": "x" * 128}, "at most 127 characters"),
        ({"cluster": "x\0"}, "Null characters"), ({"spares": "-1"}, "greater than or equal to 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_said_at_its_field(operator, fleet, form, wrong, words):  # noqa: F811
    fleet(2)
    assert words in text_of(operator.get("/allocations/new/", form(**wrong)))
    answer = operator.post("/allocations/new/", form(**wrong))
    assert (answer.status_code, words in text_of(answer)) == (422, True)
    assert not Allocation.objects.exists()


def test_nothing_to_be_had_has_no_button(operator, form):
    answer = operator.get("/allocations/new/", form())
    assert "No machine of the type m1 can be had now." in text_of(answer)
    assert 'name="approved"' not in answer.content.decode()
    assert "No machine is of the type m1" in text_of(answer)


def test_what_has_to_be_entered_first_is_said(operator):
    said = text_of(operator.get("/allocations/new/"))
    assert "There is no machine type" in said
    assert "There is no cluster." in said


def test_one_bar_goes_over_all_machines(operator, fleet, asked):  # noqa: F811
    fleet(4)
    made = asking.ask(replace(asked, spares=1, owner="bob"), by="ada")
    page = operator.get(f"/allocations/{made.pk}/")
    assert "0 of 2 machines are ready, 2 under way, 1 in reserve" in text_of(page)
    begun = bar(page)
    first = Install.objects.get(machine__name="node1")
    pooling.succeed(first)
    turns.take_all()
    page = operator.get(f"/allocations/{made.pk}/")
    assert "1 of 2 machines are ready, 1 under way, 1 in reserve" in text_of(page)
    assert bar(page) > max(begun, 50)
    assert f'href="/installs/{first.pk}/"' in page.content.decode()
    assert "asked by ada" in text_of(page)
    assert "for bob" in text_of(page)


def test_a_failure_names_its_cause_and_the_spare_that_came(operator, fleet, asked):  # noqa: F811
    fleet(3)
    made = asking.ask(replace(asked, spares=1), by="ada")
    pooling.fail(Install.objects.get(machine__name="node2"), cause="digest")
    turns.take_all()
    page = operator.get(f"/allocations/{made.pk}/")
    said = text_of(page)
    assert "0 of 2 machines are ready, 2 under way, 1 failed" in said
    assert "node3 came in its place." in said
    assert "node2 Failed" in said
    assert "it was to fail" in said


def test_when_all_are_ready_it_is_done_and_stays_readable(operator, fleet, asked):  # noqa: F811
    fleet(2)
    made = asking.ask(asked, by="ada")
    for install in Install.objects.all():
        pooling.succeed(install)
    turns.take_all()
    page = operator.get(f"/allocations/{made.pk}/")
    assert bar(page) == 100
    assert "Done" in text_of(page)
    assert "Cancel" not in text_of(page)
    assert "2 × m1" in text_of(operator.get("/allocations/"))


def test_what_is_missing_at_the_end_is_said(operator, fleet, asked):  # noqa: F811
    fleet(2)
    made = asking.ask(asked, by="ada")
    first, second = Install.objects.order_by("machine__name")
    pooling.succeed(first)
    pooling.fail(second)
    turns.take_all()
    said = text_of(operator.get(f"/allocations/{made.pk}/"))
    assert Allocation.objects.get().state == State.SHORT
    assert "Fewer machines than were asked for, and no spare is left." in said


def test_cancelling(operator, fleet, asked):  # noqa: F811
    fleet(3)
    made = asking.ask(replace(asked, spares=1), by="ada")
    said = text_of(operator.post(f"/allocations/{made.pk}/cancel/", follow=True))
    assert "Cancelled: what is under way is ended" in said
    turns.take_all()
    assert "What is under way is being ended" in text_of(operator.get(f"/allocations/{made.pk}/"))
    assert made.machines.get(is_spare=True).state == Part.LET_GO
    said = text_of(operator.post(f"/allocations/{made.pk}/cancel/", follow=True))
    assert "there is nothing to cancel" in said


def test_a_viewer_watches_and_asks_for_nothing(client, fleet, asked, form):  # noqa: F811
    fleet(2)
    made = asking.ask(asked, by="ada")
    client.force_login(scenes.make_user("viewer"))
    for path in ("/allocations/", f"/allocations/{made.pk}/"):
        html = client.get(path).content.decode()
        assert 'href="/allocations/new/"' not in html.partition("<main")[2]
        assert "/cancel/" not in html
    assert client.get("/allocations/new/").status_code == 403
    assert client.post("/allocations/new/", form()).status_code == 403
    assert client.post(f"/allocations/{made.pk}/cancel/").status_code == 403
    assert Allocation.objects.get().state == State.WORKING


def test_the_activity_says_who_asked(operator, fleet, asked):  # noqa: F811
    fleet(2)
    made = asking.ask(asked, by="ada")
    page = operator.get("/activity/")
    assert "ada asked for 2 of m1 with debian into web" in text_of(page)
    assert f'href="/allocations/{made.pk}/"' in page.content.decode()


def test_an_empty_list_says_what_to_do(operator):
    assert "Nobody has asked for machines yet" in text_of(operator.get("/allocations/"))
    assert operator.get("/allocations/7/").status_code == 404


@pytest.mark.parametrize("path", ["/allocations/", "/allocations/{}/"])
def test_more_machines_need_no_more_queries(operator, asked, image, path, django_assert_max_num_queries):  # noqa: F811
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def allocation(first: int, count: int) -> Allocation:
        kind = MachineType.objects.create(name=f"t{first}")  # noqa: F811
        for number in range(first, first + count):
            installing.make_machine(f"n{number}", number=number, type=kind)
        return asking.ask(replace(asked, type=kind, count=count), by="ada")

    few = allocation(1, 1)
    with CaptureQueriesContext(connection) as queries:
        operator.get(path.format(few.pk))
    many = allocation(20, 8)
    allocation(40, 8)
    with django_assert_max_num_queries(len(queries)):
        operator.get(path.format(many.pk))
