"""What is said to switches with a command line: the exact lines, against SSH switches that write them down."""

import paramiko
import pytest

from machines.network import SwitchEndpoint, SwitchPort, driver_for
from machines.network.base import NetworkDriver, NetworkError, NetworkRefused
from machines.network.move import State, Wanted, move
from machines.network.rules import Rules
from machines.network.vendors import VENDORS, bridge, sonic, switchport
from tests.network.ssh_switch import PASSWORD, USER, Device, Listening, listening

MAKES = list(VENDORS)
PORT = {"arista": "Ethernet7", "ios": "GigabitEthernet1/0/7", "nxos": "Ethernet1/7", "sonic": "Ethernet4",
        "cumulus": "swp7"}  # fmt: skip
INDUSTRY = ["interface {port}", "switchport access vlan 210"]
SAID = {
    "arista": ["configure terminal", *INDUSTRY, "end", "write memory"],
    "ios": ["configure terminal", *INDUSTRY, "end", "write memory"],
    "nxos": ["configure terminal", *INDUSTRY, "end", "copy running-config startup-config"],
    "sonic": [
        "sudo config vlan member del 10 {port}", "sudo config vlan member add --untagged 210 {port}",
        "sudo config save -y",
    ],
    "cumulus": ["nv set interface {port} bridge domain br_default access 210", "nv config apply -y", "nv config save"],
}  # fmt: skip
QUIET = ("show", "bridge -json", "terminal", "enable")
"""Lines that change nothing, some of them netmiko's own."""


def driver_of(device: Device, told: Listening, **settings: object) -> NetworkDriver:
    known = {"vendor": device.make, "host": "127.0.0.1", "port": told.port, "host_key": told.key,
             "username": USER, "password": PASSWORD}  # fmt: skip
    return driver_for(SwitchEndpoint("leaf", "netmiko", known | settings))


def port(make: str) -> SwitchPort:
    return SwitchPort("leaf", PORT[make])


def changing(device: Device) -> list[str]:
    return [line for line in device.lines if line and not line.startswith(QUIET)]


@pytest.mark.parametrize("make", MAKES)
def test_exactly_these_lines_move_a_port(make):
    device = Device(make, {PORT[make]: 10, "other": 10})
    with listening(device) as told:
        driver = driver_of(device, told)
        driver.attach(port(make), 210)
        assert changing(device) == [line.format(port=PORT[make]) for line in SAID[make]]
        device.lines.clear()
        driver.attach(port(make), 210)
        assert changing(device) == [], "it is there already"
        assert driver.read(port(make)) == 210
        assert device.vlans == {PORT[make]: 210, "other": 10}


def test_what_shall_not_be_saved_is_not():
    device = Device("arista", {PORT["arista"]: 10})
    with listening(device) as told:
        driver_of(device, told, save=False).attach(port("arista"), 210)
    assert changing(device)[-1] == "end"


@pytest.mark.parametrize("make", ["nxos", "sonic", "cumulus"])
def test_a_trunk_is_left_alone(make):
    device = Device(make, {PORT[make]: "trunk"})
    with listening(device) as told:
        driver = driver_of(device, told)
        with pytest.raises(NetworkRefused, match=r"no access port|several VLANs"):
            driver.attach(port(make), 210)
        assert changing(device) == []


@pytest.mark.parametrize("make", ["ios", "sonic"])
def test_a_vlan_that_the_switch_does_not_have_is_told(make):
    device = Device(make, {PORT[make]: 10})
    with listening(device) as told:
        with pytest.raises(NetworkRefused, match="VLAN 300: create it|did not take"):  # noqa: RUF043
            driver_of(device, told).attach(port(make), 300)


def test_a_port_of_which_only_the_first_line_was_taken_is_put_back():
    device = Device("sonic", {PORT["sonic"]: 10})
    with listening(device) as told:
        rules = Rules(frozenset({10, 300}), frozenset({PORT["sonic"]}))
        result = move([Wanted(driver_of(device, told), rules, port("sonic"), 300)])
    assert "did not take 'sudo config vlan member add" in str(result.problem)
    assert [(known.state, known.after) for known in result.moves] == [(State.PUT_BACK, 10)]
    assert device.vlans == {PORT["sonic"]: 10}


def test_a_switch_that_takes_a_line_and_does_nothing_is_found_by_reading():
    device = Device("arista", {PORT["arista"]: 10}, lies=True)
    with listening(device) as told:
        driver = driver_of(device, told)
        driver.attach(port("arista"), 210)
        assert driver.read(port("arista")) == 10


def test_several_ports_are_read_in_one_session():
    device = Device("arista", {"Ethernet1": 10, "Ethernet2": 210})
    with listening(device) as told:
        found = driver_of(device, told).read_all([SwitchPort("leaf", "Ethernet1"), SwitchPort("leaf", "Ethernet2")])
    assert found == {"Ethernet1": 10, "Ethernet2": 210}
    assert len(told.passwords) == 1


@pytest.mark.parametrize("name", ["Ethernet1\nreload", "Ethernet1; reload", "Ethernet1 | x", "$(reboot)", "-x", ""])
def test_no_name_of_a_port_is_a_command(name):
    device = Device("arista", {})
    with listening(device) as told:
        with pytest.raises(NetworkRefused, match="no name of a port"):
            driver_of(device, told).attach(SwitchPort("leaf", name), 210)
    assert device.lines == told.passwords == []


def test_a_wrong_password_is_refused_and_not_repeated():
    device = Device("ios", {}, refuses_login=True)
    with listening(device) as told:
        with pytest.raises(NetworkRefused, match="refused the user or password") as caught:
            driver_of(device, told).read(port("ios"))
    assert PASSWORD not in str(caught.value)


ANOTHER, OF_ANOTHER_KIND = paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)


@pytest.mark.parametrize(
    "key",
    [
        f"{ANOTHER.get_name()} {ANOTHER.get_base64()}",
        f"{OF_ANOTHER_KIND.get_name()} {OF_ANOTHER_KIND.get_base64()}",
        "ssh-ed25519 " + "A" * 68,  # no key at all
    ],
    ids=["another one", "of another kind", "none"],
)
def test_a_stranger_gets_no_password(key):
    """Its host key is not the one of the inventory."""
    device = Device("ios", {PORT["ios"]: 10})
    with listening(device) as told:
        driver = driver_of(device, told, host_key=key)
        with pytest.raises(NetworkRefused, match="another SSH host key"):
            driver.read(port("ios"))
    assert told.passwords == []


def test_a_switch_that_is_away_is_tried_again():
    with listening(Device("ios", {})) as told:
        pass
    with pytest.raises(NetworkError, match="does not answer") as caught:
        driver_of(Device("ios", {}), told).read(port("ios"))
    assert not isinstance(caught.value, NetworkRefused)


def test_a_switch_that_talks_without_end_is_given_up(monkeypatch):
    device = Device("arista", {}, hostile=b"\x1b[2J<script>" + b"A" * 30_000)
    with listening(device) as told:
        driver = driver_of(device, told)
        monkeypatch.setattr(type(driver), "seconds", 4.0)
        with pytest.raises(NetworkError) as caught:
            driver.read(port("arista"))
    assert "script" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("vendor", "huawei", "no such make"),
        ("host", "a b", "its address is none"),
        ("host", "", "has no address"),
        ("host_key", "SHA256:abc", "its host key must look like"),
        ("host_key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ\n@revoked x", "its host key must look like"),
    ],
)
def test_settings_that_cannot_be_are_told(setting, value, words):
    told = Listening(1, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0YhVYq3iJxyxmMTq1H5rJ5yq3m6cB7Jx9o0aAbCd")
    with pytest.raises(NetworkRefused, match=words):
        driver_of(Device("ios", {}), told, **{setting: value}).read(port("ios"))


@pytest.mark.parametrize("reader", [switchport, sonic, bridge])
@pytest.mark.parametrize(
    "answer", ["", "\x1b[2J", "[[]]", '[{"ifname":"x"}]', "null", "Access Mode VLAN: 99999999999", "A" * 99999]
)
def test_what_cannot_be_read_is_told_in_one_line(reader, answer):
    with pytest.raises(NetworkError) as caught:
        reader(answer, "x")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
