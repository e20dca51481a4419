"""Setting aside, taking back, retiring: in every state, and what is kept meanwhile."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from machines import actions, lifecycle, upkeep, verbs
from machines.lifecycle import State
from machines.models import Cluster, Machine
from machines.power import fake
from machines.power.base import Power
from tests import installing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fake_power():
    fake.forget()


@pytest.mark.parametrize(
    ("was", "fields"),
    [("new", {"inspected_at": None}), ("free", {}), ("in_use", {"image_name": "debian-12"})],
)
def test_what_is_taken_back_is_what_it_was(was, fields):
    machine = installing.make_machine(state=was, **fields)
    actions.set_aside(machine, by="grace", why="fan", until=now() + timedelta(days=1))
    machine.refresh_from_db()
    assert (machine.state, machine.aside_by, machine.aside_why) == ("aside", "grace", "fan")
    upkeep.take_back(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.aside_by, machine.aside_why, machine.aside_until) == (was, "", "", None)


def test_a_machine_that_is_worked_on_is_left_alone():
    machine = installing.make_machine(handled_by="install 7")
    for verb in (
        lambda: actions.set_aside(machine, by="grace", why="fan", until=None),
        lambda: upkeep.retire(machine),
        lambda: upkeep.choose_cluster(machine, None),
    ):
        with pytest.raises(actions.Refused, match="install 7: cancel that first"):
            verb()
    assert Machine.objects.get().state == "free"
    assert verbs.possible(machine) == frozenset()


def test_a_protected_machine_is_not_retired():
    machine = upkeep.protect(installing.make_machine(), protected=True)
    with pytest.raises(actions.Refused, match="take the protection off first"):
        upkeep.retire(machine)
    assert upkeep.retire(upkeep.protect(machine, protected=False)).state == "retired"


@pytest.mark.parametrize(
    ("was", "fields", "then"),
    [
        ("new", {"inspected_at": None}, "new"), ("free", {}, "new"), ("warm", {"image_name": "debian"}, "releasing"),
        ("in_use", {"image_name": "debian"}, "releasing"), ("releasing", {}, "releasing"),
        ("free", {"unerased": True}, "releasing"),
    ],
)  # fmt: skip
def test_what_was_used_is_erased_after_its_repair(was, fields, then):
    machine = installing.make_machine(state=was, **fields)
    upkeep.mark_broken(machine, by="grace", why="fan 3")
    machine.refresh_from_db()
    assert (machine.state, machine.broken_by, machine.broken_why) == ("broken", "grace", "fan 3")
    upkeep.repaired(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.broken_by, machine.broken_why) == (then, "", "")
    assert machine.unerased == (then == "releasing")
    assert then == "releasing" or machine.inspected_at is None


def test_what_was_repaired_is_not_erased_because_its_time_was_over_before():
    machine = installing.make_machine(state="releasing", erase_at=now() - timedelta(hours=1))
    assert upkeep.mark_broken(machine, by="grace", why="fan 3").erase_at is None
    assert upkeep.repaired(machine).erase_at is None
    machine.refresh_from_db()
    assert (machine.state, machine.unerased, machine.erase_at) == ("releasing", True, None)


def test_what_is_broken_is_so_after_it_was_set_aside():
    machine = upkeep.mark_broken(installing.make_machine(image_name="debian"), by="grace", why="fan 3")
    actions.set_aside(machine, by="ada", why="a look", until=None)
    machine = upkeep.take_back(machine)
    assert (machine.state, machine.broken_why, machine.unerased) == ("broken", "fan 3", True)


def test_what_is_warm_is_not_set_aside_as_nobody_would_know_that_afterwards():
    machine = installing.make_machine(state="warm", image_name="debian")
    with pytest.raises(actions.Refused, match="is warm: mark it as broken, or install it anew"):
        actions.set_aside(machine, by="grace", why="fan", until=None)
    assert Machine.objects.get().state == "warm"
    assert "set_aside" not in verbs.possible(machine)


@pytest.mark.parametrize(
    ("fields", "unerased"), [({"image_name": "debian"}, True), ({"unerased": True}, True), ({}, False)]
)
def test_what_held_data_still_does_when_it_is_retired_and_comes_back(fields, unerased):
    cluster = Cluster.objects.create(name="web", network="10.2.0.0/24")
    machine = installing.make_machine(state="aside", aside_by="grace", owner="ada", **fields)
    Machine.objects.update(cluster=cluster)
    machine.interfaces.update(address="10.2.0.7/24")
    machine = upkeep.retire(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.unerased, machine.owner, machine.cluster) == ("retired", unerased, "", None)
    assert not machine.interfaces.exclude(address="").exists()
    machine = upkeep.bring_back(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.unerased, machine.image_name) == ("new", unerased, "")


def test_what_was_retired_before_is_nobodys_when_it_comes_back():
    cluster = Cluster.objects.create(name="web")
    upkeep.bring_back(installing.make_machine(
        state="retired", image_name="debian", owner="ada", cluster=cluster, broken_why="fan", erase_at=now(),
    ))  # fmt: skip
    found = Machine.objects.get()
    assert (found.unerased, found.owner, found.cluster, found.image_name) == (True, "", None, "")
    assert (found.broken_why, found.erase_at) == ("", None)


@pytest.mark.parametrize("unerased", [True, False])
def test_only_an_unerased_machine_is_erased_while_it_is_free(unerased):
    assert ("erase" in verbs.possible(installing.make_machine(unerased=unerased))) is unerased


def test_what_is_adopted_is_in_use_and_keeps_its_disks():
    machine = upkeep.adopt_running(installing.make_machine(), system="AIX 7")
    assert (machine.state, machine.image_name) == ("in_use", "AIX 7")


def test_a_reservation_is_for_somebody_until_a_time_or_taken_back():
    machine, tomorrow = installing.make_machine(), now() + timedelta(days=1)
    upkeep.reserve(machine, owner="ada", until=tomorrow)
    machine.refresh_from_db()
    assert (machine.state, machine.reserved_for, machine.reserved_until) == ("free", "ada", tomorrow)
    upkeep.reserve(machine, owner="", until=None)
    machine.refresh_from_db()
    assert (machine.reserved_for, machine.reserved_until) == ("", None)
    with pytest.raises(actions.Refused, match="time is over"):
        upkeep.reserve(machine, owner="ada", until=now())


@pytest.mark.parametrize("state", State)
def test_no_state_is_without_a_way_to_be_free_again(state):
    reached, grows = {state}, True
    while grows:
        found = {to for sources, to in lifecycle.TRANSITIONS.values() if sources & reached} - reached
        reached, grows = reached | found, bool(found)
    assert State.FREE in reached


def test_what_is_brought_back_must_be_inspected_again():
    machine = upkeep.retire(installing.make_machine())
    machine = upkeep.bring_back(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.inspected_at) == ("new", None)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", sorted(verbs.BY_PEOPLE))
def test_the_buttons_shown_are_those_that_work(state, verb):
    machine = installing.make_machine(state=state)
    press = {
        "set_aside": lambda: actions.set_aside(machine, by="grace", why="fan", until=None),
        "take_back": lambda: upkeep.take_back(machine), "retire": lambda: upkeep.retire(machine),
        "bring_back": lambda: upkeep.bring_back(machine), "repaired": lambda: upkeep.repaired(machine),
        "mark_broken": lambda: upkeep.mark_broken(machine, by="grace", why="fan"),
        "adopt": lambda: upkeep.adopt_running(machine, system="AIX"),
    }[verb]  # fmt: skip
    if verb in verbs.possible(machine):
        press()
        assert Machine.objects.get().state != state
    else:
        with pytest.raises((actions.Refused, lifecycle.NotAllowed)):
            press()
        assert Machine.objects.get().state == state


def test_a_machine_is_not_installed_while_it_is_protected_or_aside():
    machine = installing.make_machine()
    assert {"install", "inspect", "power"} <= verbs.possible(machine)
    machine.protected = True
    assert not {"install", "inspect", "power"} & verbs.possible(machine)
    machine.protected, machine.state = False, "aside"
    assert not {"install", "inspect"} & verbs.possible(machine)


@pytest.mark.parametrize(
    ("power", "expected"),
    [(Power.ON, ("soft", "off", "reset")), (Power.OFF, ("on",)), (Power.UNKNOWN, ("on", "soft", "off", "reset"))],
)
def test_power_commands_that_would_change_something(power, expected):
    machine = installing.make_machine()
    actions.record_power(machine, power, next_in=timedelta())
    machine.refresh_from_db()
    assert verbs.power_actions(machine) == expected


def test_a_person_is_not_commanded():
    assert verbs.power_actions(installing.make_machine(driver="manual")) == ()


def test_notes_are_kept_as_typed_and_have_an_end():
    machine = upkeep.write_notes(installing.make_machine(), "one\r\ntwo\0 ")
    assert machine.notes == "one\ntwo"
    with pytest.raises(actions.Refused, match="20000 characters, these have 20001"):
        upkeep.write_notes(machine, "x" * 20_001)
    assert Machine.objects.get().notes == "one\ntwo"


def test_a_cluster_can_be_chosen_and_left():
    machine, cluster = installing.make_machine(), Cluster.objects.create(name="web")
    assert upkeep.choose_cluster(machine, cluster).cluster == cluster
    assert upkeep.choose_cluster(machine, None).cluster is None
