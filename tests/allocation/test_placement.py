"""Which machines a request gets, as a table; and what holds for any fleet."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installs.allocation.placement import Candidate, Placement, Wanted, Why, allocate
from machines.lifecycle import State

GOOD = Candidate("node", "m1", "free")
WARM = replace(GOOD, state="warm", image="debian")


def fleet(*machines: Candidate) -> list[Candidate]:
    """Named a, b, c in this order."""
    return [replace(machine, name=chr(ord("a") + number)) for number, machine in enumerate(machines)]


def place(*machines: Candidate, count: int = 1, spares: int = 0, owner: str = "") -> Placement:
    return allocate(fleet(*machines), Wanted("m1", "debian", count, spares, owner))


@pytest.mark.parametrize(
    ("machines", "count", "spares", "warm", "cold", "kept", "missing"),
    [
        ([], 1, 0, "", "", "", 1),
        ([GOOD], 1, 0, "", "a", "", 0),
        ([GOOD, WARM], 1, 0, "b", "", "", 0),
        ([GOOD, WARM, GOOD], 2, 1, "b", "a", "c", 0),
        ([WARM, WARM], 1, 1, "a", "", "", 0),  # a warm one is no spare
        ([GOOD, GOOD], 3, 2, "", "ab", "", 1),
        ([replace(GOOD, failures=2), GOOD], 1, 1, "", "b", "a", 0),
        ([replace(WARM, image="old"), GOOD], 1, 0, "", "b", "", 0),
        ([GOOD, GOOD, GOOD], 0, 2, "", "", "ab", 0),
    ],
)
def test_warm_ones_come_first_and_spares_are_free_ones(machines, count, spares, warm, cold, kept, missing):
    placed = place(*machines, count=count, spares=spares)
    assert ("".join(placed.warm), "".join(placed.cold), "".join(placed.spares), placed.missing) == (
        warm, cold, kept, missing,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why", "detail"),
    [
        ({"type": "m2"}, Why.OTHER_TYPE, "m2"),
        ({"is_protected": True}, Why.PROTECTED, ""),
        ({"handled_by": "install 7"}, Why.HANDLED, "install 7"),
        ({"reserved_for": "grace"}, Why.RESERVED, "grace"),
        ({"is_unerased": True}, Why.UNERASED, ""),
        ({"state": "new", "is_inspected": False}, Why.NEVER_INSPECTED, ""),
        ({"is_inspected": False}, Why.NEVER_INSPECTED, ""),
        ({"problem": "too little memory"}, Why.PLAN, "too little memory"),
        *(
            ({"state": str(state)}, Why.STATE, str(state))
            for state in State
            if state not in (State.FREE, State.WARM, State.NEW)
        ),
    ],
)
def test_it_says_why_not_this_one(changes, why, detail):
    placed = place(replace(GOOD, **changes))
    assert (placed.missing, placed.refused["a"].why, placed.refused["a"].detail) == (1, why, detail)


def test_what_is_reserved_for_who_asks_is_taken():
    assert place(replace(GOOD, reserved_for="ada"), owner="ada").cold == ("a",)


def test_who_is_good_and_not_chosen_is_told_so():
    assert place(GOOD, GOOD).refused["b"].why == Why.NOT_NEEDED


machine = st.builds(
    Candidate, name=st.uuids().map(str), type=st.sampled_from(["m1", "m2"]), state=st.sampled_from([*map(str, State)]),
    image=st.sampled_from(["", "debian", "old"]), is_protected=st.booleans(), handled_by=st.sampled_from(["", "x"]),
    reserved_for=st.sampled_from(["", "ada", "grace"]), is_inspected=st.booleans(), is_unerased=st.booleans(),
    problem=st.sampled_from(["", "no disk"]), failures=st.integers(0, 3),
)  # fmt: skip


@given(
    st.lists(machine, unique_by=lambda one: one.name, max_size=30), st.integers(0, 8), st.integers(0, 4), st.randoms()
)
def test_of_any_fleet_each_machine_is_placed_once_or_refused_once(machines, count, spares, luck):
    wanted = Wanted("m1", "debian", count, spares, "ada")
    placed = allocate(machines, wanted)
    everywhere = [*placed.warm, *placed.cold, *placed.spares, *placed.refused]
    assert sorted(everywhere) == sorted(one.name for one in machines)
    assert len(placed.warm) + len(placed.cold) + placed.missing == count
    assert len(placed.spares) <= spares
    by_name = {one.name: one for one in machines}
    for name in (*placed.warm, *placed.cold, *placed.spares):
        one = by_name[name]
        assert one.type == "m1" and one.state in ("free", "warm") and one.is_inspected
        assert not (one.is_protected or one.handled_by or one.is_unerased or one.reserved_for == "grace")
    assert all(by_name[name].image == "debian" for name in placed.warm)
    assert all(by_name[name].state == "free" and not by_name[name].problem for name in (*placed.cold, *placed.spares))
    luck.shuffle(machines)
    assert allocate(machines, wanted) == placed, "the order in which the machines come changes nothing"
