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


def test_what_is_brought_back_must_be_inspected_again():
    machine = upkeep.retire(installing.make_machine())
    machine = upkeep.bring_back(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.inspected_at) == ("new", None)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", ["set_aside", "take_back", "retire", "bring_back"])
def test_the_buttons_shown_are_those_that_work(state, verb):
    machine = installing.make_machine(state=state)
    press = {
        "set_aside": lambda: actions.set_aside(machine, by="grace", why="fan", until=None),
        "take_back": lambda: upkeep.take_back(machine), "retire": lambda: upkeep.retire(machine),
        "bring_back": lambda: upkeep.bring_back(machine),
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
