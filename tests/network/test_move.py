"""Ports are moved all or none. A driver that fails anywhere leaves each where it was, or says which one it is not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.network import driver_for
from machines.network.base import NeedsOperator, NetworkDriver, NetworkError, NetworkRefused, SwitchEndpoint, SwitchPort
from machines.network.fake import FakeNetwork
from machines.network.manual import ManualNetwork
from machines.network.move import Result, State, Wanted, move
from machines.network.rules import Rules, parse_ports, parse_vlans

RULES = Rules(vlans=parse_vlans("1, 210-212"), ports=parse_ports("p1..6"), quarantine=999)


class Tricky(FakeNetwork):
    """Fails at the calls that it is told, in the ways that it is told; what it holds is its own."""

    slug = "tricky"

    def __init__(self, vlans: dict[str, int | None], faults: dict[int, str]) -> None:
        super().__init__(SwitchEndpoint("tor", "tricky"))
        self.vlans = dict(vlans)
        self.faults = dict(faults)
        self.written: list[tuple[str, int | None]] = []
        self.calls = 0

    def read(self, port: SwitchPort) -> int | None:
        self._maybe("before")
        return self.vlans[port.name]

    def attach(self, port: SwitchPort, vlan: int) -> None:
        self._write(port, vlan)

    def detach(self, port: SwitchPort) -> None:
        self._write(port, None)

    def _write(self, port: SwitchPort, vlan: int | None) -> None:
        self.written.append((port.name, vlan))
        fault = self._maybe("before")
        if fault != "lie":
            self.vlans[port.name] = vlan
        if fault == "late":
            raise NetworkError("fell silent")
        if fault == "bug late":
            raise KeyError("a bug")

    def _maybe(self, _when: str) -> str:
        self.calls += 1
        fault = self.faults.pop(self.calls, "")
        if fault == "fail":
            raise NetworkError("did nothing")
        if fault == "refuse":
            raise NetworkRefused("refuses")
        if fault == "bug":
            raise ZeroDivisionError
        return fault


def moved(vlans, wanted, faults=None, rules=RULES) -> tuple[Result, Tricky]:
    driver = Tricky(vlans, faults or {})
    result = move([Wanted(driver, rules, SwitchPort("tor", name), vlan) for name, vlan in wanted.items()])
    return result, driver


PORTS = ["p1", "p2", "p3"]
PLACES = st.sampled_from([1, 210, 211, 212, 999, None])
FAULT = st.sampled_from(["fail", "refuse", "bug", "late", "bug late", "lie"])


@settings(max_examples=400)
@given(
    vlans=st.fixed_dictionaries(dict.fromkeys(PORTS, PLACES)),
    wanted=st.dictionaries(st.sampled_from(PORTS), PLACES, min_size=1),
    faults=st.dictionaries(st.integers(1, 30), FAULT, max_size=6),
)
def test_every_port_is_where_it_was_or_should_be_or_is_said_to_be_astray(vlans, wanted, faults):
    result, driver = moved(vlans, wanted, faults)
    assert {name for name, _ in driver.written} <= set(wanted)
    for known in result.moves:
        name, target = known.port.name, 999 if wanted[known.port.name] is None else wanted[known.port.name]
        there = driver.vlans[name]
        if known.state == State.ASTRAY:
            assert known.problem
            assert result.problem
        elif result.problem is None:
            assert there == target == known.after
        else:
            assert there == vlans[name], known
    for name in set(PORTS) - set(wanted):
        assert driver.vlans[name] == vlans[name]


@settings(max_examples=300)
@given(
    vlans=st.fixed_dictionaries(dict.fromkeys(PORTS, st.sampled_from([1, 5, 210, None]))),
    wanted=st.dictionaries(st.sampled_from([*PORTS, "p7"]), st.sampled_from([1, 5, 210, None]), min_size=1),
    faults=st.dictionaries(st.integers(1, 20), FAULT, max_size=3),
)
def test_what_is_not_on_the_list_is_never_touched(vlans, wanted, faults):
    """Neither a port, nor a VLAN; and a port that is in another VLAN now is somebody else's."""
    result, driver = moved({**vlans, "p7": 1}, wanted, faults)
    for name, vlan in driver.written:
        assert name in RULES.ports
        assert vlan in RULES.vlans | {RULES.quarantine, None}
        assert vlans[name] in RULES.vlans | {None}
    if "p7" in wanted or 5 in wanted.values():
        assert driver.calls == 0, "nothing was said to the switch at all"
        assert isinstance(result.problem, NetworkRefused)


@pytest.mark.parametrize(
    ("wanted", "rules", "words"),
    [
        ({"p9": 210}, RULES, "p9 is not on the list"),
        ({"p1": 300}, RULES, "VLAN 300 is not on the list"),
        ({"p1": 210}, Rules(), "not on the list"),
        ({"p1": 210, "p9": 210}, RULES, "p9 is not on the list"),
    ],
)
def test_refused_before_anything_is_sent(wanted, rules, words):
    result, driver = moved({"p1": 1}, wanted, rules=rules)
    assert words in str(result.problem)
    assert driver.calls == 0


def test_a_port_in_somebody_elses_vlan_is_left_alone():
    result, driver = moved({"p1": 1, "p2": 7}, {"p1": 210, "p2": 210})
    assert "p2 is in VLAN 7, which is not on the list" in str(result.problem)
    assert (driver.vlans, driver.written) == ({"p1": 1, "p2": 7}, [])


def test_a_port_is_named_once():
    driver = Tricky({"p1": 1}, {})
    result = move([Wanted(driver, RULES, SwitchPort("tor", "p1"), vlan) for vlan in (210, 211)])
    assert "named twice" in str(result.problem)
    assert driver.calls == 0


def test_what_is_there_already_is_not_written_again():
    result, driver = moved({"p1": 210, "p2": 1}, {"p1": 210, "p2": 210})
    assert [known.state for known in result.moves] == [State.STAYED, State.MOVED]
    assert [(known.before, known.after) for known in result.moves] == [(210, 210), (1, 210)]
    assert driver.written == [("p2", 210)]


def test_a_switch_that_lies_is_found_out_and_the_others_are_put_back():
    result, driver = moved({"p1": 1, "p2": 1}, {"p1": 210, "p2": 210}, {5: "lie"})
    assert "p2 is in VLAN 1 though it was put into VLAN 210" in str(result.problem)
    assert [known.state for known in result.moves] == [State.PUT_BACK, State.PUT_BACK]
    assert driver.vlans == {"p1": 1, "p2": 1}


def test_a_port_that_cannot_be_put_back_is_named():
    result, driver = moved({"p1": 1, "p2": 1}, {"p1": 210, "p2": 210}, {5: "refuse", 8: "fail", 9: "fail"})
    assert [known.state for known in result.moves] == [State.ASTRAY, State.PUT_BACK]
    assert "tor port p1 could not be put back into VLAN 1" in result.moves[0].problem
    assert driver.vlans == {"p1": 210, "p2": 1}


def test_parking_is_the_quarantine_vlan_or_none():
    assert moved({"p1": 210}, {"p1": None})[1].vlans == {"p1": 999}
    assert moved({"p1": 210}, {"p1": None}, rules=Rules(RULES.vlans, RULES.ports))[1].vlans == {"p1": None}


class NeverDetaches(Tricky):
    can_detach = False


def test_a_switch_without_a_place_outside_of_vlans_parks_only_in_quarantine():
    driver, port = NeverDetaches({"p1": 210, "p2": None}, {}), SwitchPort("tor", "p1")
    open_rules = Rules(RULES.vlans, RULES.ports)
    assert "no quarantine VLAN" in str(move([Wanted(driver, open_rules, port, None)]).problem)
    assert "could not be put back" in str(move([Wanted(driver, RULES, SwitchPort("tor", "p2"), 210)]).problem)
    assert driver.written == []


def test_nothing_more_is_said_once_the_switch_is_another_ones():
    """Also nothing to put back what was moved: that is the other one's to look at."""
    driver, calls = Tricky({"p1": 1, "p2": 1}, {}), []

    @contextmanager
    def mine() -> Iterator[None]:
        calls.append(1)
        if len(calls) > 4:
            raise NetworkError("taken over")
        yield

    result = move([Wanted(driver, RULES, SwitchPort("tor", name), 210) for name in ("p1", "p2")], mine=mine)
    assert driver.written == [("p1", 210), ("p2", 210)]
    assert [known.state for known in result.moves] == [State.ASTRAY, State.ASTRAY]
    assert "taken over" in str(result.problem)


def test_people_are_asked_last_and_not_in_vain():
    by_hand = ManualNetwork(SwitchEndpoint("patch", "manual"))
    port = SwitchPort("patch", "p1")

    def wanted(driver: NetworkDriver) -> list[Wanted]:
        return [Wanted(by_hand, RULES, port, 210), Wanted(driver, RULES, SwitchPort("tor", "p1"), 210)]

    result = move(wanted(Tricky({"p1": 1}, {})))
    assert [known.state for known in result.moves] == [State.ASKED, State.MOVED]
    assert result.moves[0].problem == "patch port p1: put it into VLAN 210 by hand"
    result = move(wanted(Tricky({"p1": 1}, {3: "refuse"})))
    assert [known.state for known in result.moves] == [State.UNTOUCHED, State.PUT_BACK]
    assert [known.problem for known in result.moves] == ["", ""]


def test_by_hand_a_port_is_where_the_last_person_said():
    driver = driver_for(SwitchEndpoint("patch", "manual"))
    port = SwitchPort("patch", "1", told=210)
    assert driver.read(port) == 210
    driver.attach(port, 210)
    with pytest.raises(NeedsOperator, match="take it out of every VLAN"):
        driver.detach(port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", set()), ("210-212, 300", {210, 211, 212, 300}), ("1 4094\n7", {1, 4094, 7})],
)
def test_vlans_as_people_write_them(text, expected):
    assert parse_vlans(text) == expected


@pytest.mark.parametrize("text", ["0", "4095", "7-5", "a", "5-", "-5", "1-99999", "٣"])
def test_what_is_no_vlan(text):
    with pytest.raises(ValueError, match=text):
        parse_vlans(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ethernet1/1..3", {"Ethernet1/1", "Ethernet1/2", "Ethernet1/3"}),
        ("Gi1/0/9..10,ge-0/0/1", {"Gi1/0/9", "Gi1/0/10", "ge-0/0/1"}),
        ("00:01/12", {"00:01/12"}),
    ],
)
def test_ports_as_people_write_them(text, expected):
    assert parse_ports(text) == expected


@pytest.mark.parametrize("text", ["-x", "a|b", "p5..3", "p1..99999", "p$(id)", "*"])
def test_what_is_no_port(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the word itself
        parse_ports(text)
