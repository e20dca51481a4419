"""dodai's OpenFlow controller over real SOAP: regions come with their first port and go with their last."""

import pytest

from machines.network import SwitchEndpoint, SwitchPort, driver_for
from machines.network.base import NetworkDriver, NetworkError, NetworkRefused
from machines.network.move import State, Wanted, move
from machines.network.rules import Rules
from tests.network import soap_server
from tests.network.soap_server import Controller, description, serving

ONE, TWO = "00:01", "00:02"
OUTER = {(ONE, 48): (210, 65535), (TWO, 48): (210, 65535)}
MADE = [
    "createRegion(dodai-210)",
    "setOuterPortAssociationSetting(00:01, 48, 210, 65535, dodai-210)",
    "setOuterPortAssociationSetting(00:02, 48, 210, 65535, dodai-210)",
]
REMOVED = [
    "clearOuterPortAssociationSetting(00:01, 48, 210)",
    "clearOuterPortAssociationSetting(00:02, 48, 210)",
    "destroyRegion(dodai-210)",
]


@pytest.fixture
def controller():
    ports = {(dpid, number): ["", ""] for dpid in (ONE, TWO) for number in (1, 2)}
    ports |= {(dpid, 48): ["OuterPort", ""] for dpid in (ONE, TWO)}
    with serving(Controller(ports)) as made:
        yield made


def driver_of(controller: Controller, **settings: str) -> NetworkDriver:
    known = {"address": controller.address, "outer_ports": f"{ONE}/48\n{TWO}/48"}
    return driver_for(SwitchEndpoint("ofc", "ofc", known | settings))


def port(name: str) -> SwitchPort:
    return SwitchPort("ofc", name)


def said(controller: Controller) -> list[str]:
    """What was written since the last look."""
    found = controller.writes()
    controller.calls.clear()
    return found


def test_a_region_is_made_with_its_outer_ports_and_removed_with_its_last_server_port(controller):
    driver = driver_of(controller)
    driver.attach(port(f"{ONE}/1"), 210)
    assert said(controller) == [*MADE, "setServerPort(00:01, 1, dodai-210)", "save()"]
    assert controller.regions == {"dodai-210": OUTER}
    driver.attach(port(f"{TWO}/2"), 210)
    assert said(controller) == ["setServerPort(00:02, 2, dodai-210)", "save()"]
    driver.attach(port(f"{TWO}/2"), 210)
    assert said(controller) == []
    assert driver.read_all([port(f"{ONE}/1"), port(f"{TWO}/2"), port(f"{ONE}/2")]) == {
        f"{ONE}/1": 210, f"{TWO}/2": 210, f"{ONE}/2": None,
    }  # fmt: skip
    driver.detach(port(f"{ONE}/1"))
    assert said(controller) == ["clearServerPort(00:01, 1)", "save()"]
    driver.detach(port(f"{TWO}/2"))
    assert said(controller) == ["clearServerPort(00:02, 2)", *REMOVED, "save()"]
    assert controller.regions == {}
    driver.detach(port(f"{TWO}/2"))
    assert said(controller) == []


def test_a_move_between_vlans_leaves_no_empty_region(controller):
    driver = driver_of(controller)
    driver.attach(port(f"{ONE}/1"), 210)
    driver.attach(port(f"{ONE}/1"), 20)
    assert set(controller.regions) == {"dodai-20"}
    assert driver.read(port(f"{ONE}/1")) == 20


@pytest.mark.parametrize("number", [1, 3, 4, 5, 7, 9])
def test_whichever_call_fails_no_port_is_lost_and_no_region_is_left(controller, number):
    """One port moves from 20 to 210, the mover puts it back. What cannot be put back is said to be astray."""
    driver, rules = driver_of(controller), Rules(frozenset({20, 210}), frozenset({f"{ONE}/1"}))
    driver.attach(port(f"{ONE}/1"), 20)
    controller.calls.clear()
    controller.fails[number] = "yes"
    result = move([Wanted(driver, rules, port(f"{ONE}/1"), 210)])
    region = controller.ports[ONE, 1][1]
    expected = {State.MOVED: "dodai-210", State.PUT_BACK: "dodai-20"}[result.moves[0].state]
    assert region == expected
    assert (result.problem is None) == (region == "dodai-210")
    driver.attach(port(f"{ONE}/1"), 210)
    driver.detach(port(f"{ONE}/1"))
    assert controller.regions.keys() <= {"dodai-20"}, "the next call that touches it tidies it"


@pytest.mark.parametrize("region", ["theirs", "210", "dodai-", "dodai-x", "dodai-0210"])
def test_others_regions_are_left_alone(controller, region):
    controller.regions[region] = {}
    controller.ports[ONE, 2] = ["ServerPort", region]
    driver = driver_of(controller)
    for call in (driver.read, driver.detach, lambda each: driver.attach(each, 210)):
        with pytest.raises(NetworkRefused, match=f"region {region}, which is not Dodai's"):
            call(port(f"{ONE}/2"))
    assert said(controller) == []


def test_outer_ports_and_what_is_no_port_are_left_alone(controller):
    driver = driver_of(controller)
    for call in (driver.read, driver.detach, lambda each: driver.attach(each, 210)):
        with pytest.raises(NetworkRefused, match="is an outer port"):
            call(port(f"{ONE}/48"))
        with pytest.raises(NetworkRefused, match="has no port 00:01/9"):
            call(port(f"{ONE}/9"))
        with pytest.raises(NetworkRefused, match="datapath id/number"):
            call(port("eth0"))
    assert said(controller) == []


def test_what_the_controller_refuses_is_told_in_one_plain_line(controller):
    controller.fails[1] = "yes"
    with pytest.raises(NetworkRefused, match=r"createRegion: it says '<b>no\[2J such luck</b>'"):
        driver_of(controller).attach(port(f"{ONE}/1"), 210)


def test_a_controller_that_is_away_is_tried_again(controller):
    driver = driver_of(controller, address="http://127.0.0.1:9/ofc")
    with pytest.raises(NetworkError, match="it does not answer") as caught:
        driver.read(port(f"{ONE}/1"))
    assert not isinstance(caught.value, NetworkRefused)


@pytest.mark.parametrize(
    ("wsdl", "words"),
    [
        (description("x", inside='<xs:import namespace="urn:x" schemaLocation="file:///etc/passwd"/>'), "refers to"),
        (description("x", inside='<xs:include schemaLocation="http://127.0.0.1:9/x.xsd"/>'), "ExternalReference"),
        (description("x", before='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), "cannot be read"),
        (description("x", before='<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'), "cannot be read"),
        (b"<html>not WSDL</html>", "cannot be read"),
        (b"\x00\xff", "cannot be read"),
        (b"<a>" * 400_000, "more than 1 MiB"),
    ],
)
def test_nothing_is_fetched_from_elsewhere_whatever_it_says_of_itself(controller, wsdl, words):
    controller.wsdl = wsdl
    with pytest.raises(NetworkError, match=words):
        driver_of(controller).read(port(f"{ONE}/1"))
    assert controller.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"x" * 2_000_000, b"<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body/></s:Envelope>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>',
        soap_server._envelope(
            f'<t:showPortsResponse xmlns:t="{soap_server.SPACE}"><return><type>x</type></return></t:showPortsResponse>'
        ),
    ],
)  # fmt: skip
def test_a_hostile_answer_ends_the_call_and_nothing_else(controller, answer):
    controller.answer = answer
    with pytest.raises(NetworkError) as caught:
        driver_of(controller).read(port(f"{ONE}/1"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"address": "ftp://x/ofc"}, "no address of a service"), ({"address": "http://u:p@x/"}, "no address"),
        ({"outer_ports": "eth0"}, "its outer ports must be"), ({"prefix": "1 2"}, "no beginning of regions"),
        ({"address": ""}, "has no address"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_told(controller, settings, words):
    with pytest.raises(NetworkRefused, match=words):
        driver_of(controller, **settings).read(port(f"{ONE}/1"))
