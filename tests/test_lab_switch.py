"""The lab's switch: frames stay in their VLAN, ports are moved while everything runs, and real guests notice."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from installs import practice, ramdisk
from lab import control
from lab.errors import LabError
from lab.profiles import give_service_card, profiles
from lab.qemu import Ports
from lab.supervise import Lab
from lab.switch import ADDRESSES_KEPT, Switch
from machines import cabling, inventory
from machines.network import SwitchEndpoint, SwitchPort, driver_for
from machines.network.base import NetworkError, NetworkRefused
from machines.network.lab import LabNetwork
from tests import scenes
from tests.practice_lab import BootServer, boot_server, dump, running_lab, wait_until

NAMES = ["a", "b", "c"]
A, B, C, ALL = (bytes([2, 0, 0, 0, 0, number]) for number in (1, 2, 3, 0xFF))
EVERYBODY = b"\xff" * 6


def frame(to: bytes, sender: bytes, text: bytes = b"hello") -> bytes:
    return to + sender + b"\x08\x00" + text


def packed(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in frames)


class Cables(dict[str, socket.socket]):
    """Ends of cables, by port. Nothing is heard where nothing was sent, so hearing waits for a mark sent after it."""

    async def send(self, name: str, *frames: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self[name], packed(*frames))
        await asyncio.sleep(0)

    async def hears(self, name: str) -> bytes:
        """The next frame that comes out of this port."""
        loop = asyncio.get_running_loop()
        [length] = struct.unpack(">I", await asyncio.wait_for(loop.sock_recv(self[name], 4), 30))
        return await asyncio.wait_for(loop.sock_recv(self[name], length), 30)

    async def settled(self) -> None:
        """All that was sent has gone through: the loop had nothing left to do for some turns."""
        for _ in range(50):
            await asyncio.sleep(0.002)

    async def drained(self, name: str) -> None:
        """Nothing is under way any more to this port."""
        await self.settled()
        while self.heard(name):
            await self.settled()

    def heard(self, name: str) -> bytes:
        """Everything that lies there now."""
        try:
            return self[name].recv(1 << 20)
        except BlockingIOError:
            return b""


def on_a_switch(scenario: Callable[[Switch, Cables], Awaitable[None]], path: Path | None = None) -> None:
    async def run() -> None:
        switch, cables = Switch(NAMES, path), Cables()
        for name in NAMES:
            cables[name] = await switch.plug(name)
            cables[name].setblocking(False)
        try:
            await scenario(switch, cables)
        finally:
            switch.close()
            for cable in cables.values():
                cable.close()

    asyncio.run(run())


def test_a_frame_reaches_its_vlan_and_no_other():
    async def scenario(switch: Switch, cables: Cables) -> None:
        switch.move("c", 20)
        await cables.send("a", frame(EVERYBODY, A))
        assert await cables.hears("b") == frame(EVERYBODY, A)
        await cables.settled()
        assert cables.heard("c") == b""
        assert cables.heard("a") == b"", "not back to who sent it"

    on_a_switch(scenario)


def test_a_known_address_gets_its_frames_alone():
    async def scenario(switch: Switch, cables: Cables) -> None:
        await cables.send("b", frame(EVERYBODY, B))
        await cables.hears("a")
        await cables.hears("c")
        await cables.send("a", frame(B, A))
        assert await cables.hears("b") == frame(B, A)
        await cables.settled()
        assert cables.heard("c") == b""

    on_a_switch(scenario)


def test_a_port_that_was_moved_is_reached_by_its_new_vlan_at_once():
    async def scenario(switch: Switch, cables: Cables) -> None:
        await cables.send("b", frame(EVERYBODY, B))
        await cables.hears("a")
        await cables.hears("c")
        switch.move("b", 20)
        await cables.send("a", frame(B, A), frame(EVERYBODY, A))
        assert await cables.hears("c") == frame(B, A), "nobody knows any more where that address lives"
        await cables.settled()
        assert packed(frame(B, A)) not in cables.heard("b")
        switch.move("a", 20)
        await cables.send("a", frame(B, A, b"again"))
        assert await cables.hears("b") == frame(B, A, b"again")

    on_a_switch(scenario)


def test_a_port_in_no_vlan_reaches_nobody():
    async def scenario(switch: Switch, cables: Cables) -> None:
        switch.move("a", None)
        switch.move("b", None)
        await cables.send("a", frame(EVERYBODY, A))
        await cables.settled()
        assert cables.heard("b") + cables.heard("c") == b""

    on_a_switch(scenario)


def test_what_ports_are_in_outlives_the_lab(tmp_path):
    path = tmp_path / "switch.json"
    first = Switch(NAMES, path)
    first.move("a", 210)
    first.move("b", None)
    assert Switch([*NAMES, "d"], path).vlans == {"a": 210, "b": None, "c": 1, "d": 1}
    path.write_text('{"a": "x", "b"')
    assert Switch(NAMES, path).vlans == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(("name", "vlan"), [("x", 5), ("a", 0), ("a", 4095), ("a", "5"), ("a", True), ("a", 5.0)])
def test_no_port_and_no_vlan_are_refused(name, vlan):
    switch = Switch(NAMES)
    with pytest.raises(LabError):
        switch.move(name, vlan)
    assert set(switch.vlans.values()) == {1}


def test_a_guest_that_speaks_no_frames_or_invents_addresses_harms_nobody():
    async def scenario(switch: Switch, cables: Cables) -> None:
        many = [frame(B, bytes([2, 9]) + number.to_bytes(4)) for number in range(ADDRESSES_KEPT + 50)]
        await cables.send("c", *many[:ADDRESSES_KEPT])
        await cables.settled()
        await cables.send("c", *many[ADDRESSES_KEPT:], frame(B, C, b"last"))
        await cables.settled()
        assert len(switch._homes) <= ADDRESSES_KEPT
        await asyncio.get_running_loop().sock_sendall(cables["c"], b"\xff" * 100)
        await cables.settled()
        assert "c" not in switch._plugs
        await cables.drained("b")
        await cables.send("a", b"too short", frame(EVERYBODY, A))
        assert await cables.hears("b") == frame(EVERYBODY, A)

    on_a_switch(scenario)


def test_a_port_that_takes_nothing_holds_nobody_up():
    async def scenario(switch: Switch, cables: Cables) -> None:
        big = frame(EVERYBODY, A, bytes(60_000))
        for _ in range(200):
            await cables.send("a", big)
            cables.heard("b")
        await cables.drained("b")
        await cables.send("a", frame(EVERYBODY, A, b"end"))
        assert (await cables.hears("b"))[-3:] == b"end"

    on_a_switch(scenario)


# The driver `lab`.


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """The computer is busy."""
    monkeypatch.setattr(LabNetwork, "seconds", 120.0)


@pytest.fixture
def control_socket(tmp_path) -> Iterator[Lab]:
    """The lab as its control socket has it, its servers switched off."""
    lab, loop = Lab(profiles(2, tmp_path), tmp_path, Ports(1, 2)), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(control.serve(tmp_path, lab._answer), loop).result(30)
    yield lab
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def test_the_driver_moves_ports_by_the_control_socket(tmp_path, control_socket):
    driver = driver_for(SwitchEndpoint("lab", "lab", {"data": str(tmp_path)}))
    port = SwitchPort("lab", "practice-2")
    for _ in range(2):
        driver.attach(port, 210)
        assert driver.read(port) == 210
    driver.detach(port)
    assert driver.read_all([port, SwitchPort("lab", "practice-1")]) == {"practice-2": None, "practice-1": 1}
    for name in ("practice-9", "", "\x1b[2J"):
        with pytest.raises(NetworkRefused, match="no such port"):
            driver.attach(SwitchPort("lab", name), 210)
    assert control_socket.switch.vlans == {"practice-1": 1, "practice-2": None}


@pytest.mark.django_db
def test_a_practice_server_is_cabled_to_the_labs_switch(tmp_path, control_socket, settings):
    """From its entry to the move of its port."""
    settings.DATA = scenes.other_keys(tmp_path)
    give_service_card("practice-2", tmp_path)
    for _ in range(2):
        machines = [practice.register(profile) for profile in profiles(2, tmp_path)]
    cards = [machine.interfaces.filter(switch__isnull=False) for machine in machines]
    assert [found.count() for found in cards] == [0, 1]
    [move] = cabling.move_cards({cards[1].get(): 210}, by="ada")
    assert (move.port.name, move.before, move.after) == ("practice-2", 1, 210)
    assert control_socket.switch.vlans == {"practice-1": 1, "practice-2": 210}
    assert "switches" not in inventory.export_yaml()


def test_without_a_lab_the_driver_says_so(tmp_path):
    driver = driver_for(SwitchEndpoint("lab", "lab", {"data": str(tmp_path)}))
    with pytest.raises(NetworkError, match="the lab does not run"):
        driver.read(SwitchPort("lab", "practice-1"))


SCRIPT = """
for path in /sys/class/net/*; do
    case $(cat "$path/address") in
    {first}) me=1 peer=2 card=${{path##*/}} ;;
    {second}) me=2 peer=1 card=${{path##*/}} ;;
    esac
done
ip link set "$card" up
ip address add "10.9.0.$me/24" dev "$card"
while :; do
    if ping -c 1 -W 1 "10.9.0.$peer" >/dev/null; then said=reach; else said=noreach; fi
    curl --silent --max-time 10 "{url}/say/$me/$said" >/dev/null
    sleep 0.3
done
"""
BOOT = """#!ipxe
kernel {url}/vmlinuz initrd=initrd console=ttyS0 BOOTIF=01-${{net0/mac:hexhyp}} dodai_script={url}/script
initrd {url}/initrd
boot
"""
FIRST, SECOND = "practice-1", "practice-4"
BOOT_SECONDS, PING_SECONDS = 400, 120


def said(server: BootServer, after: float) -> list[str]:
    """What the first guest said of its pings since then, in order."""
    ours = [request for request in server.requests if request.path.startswith("/say/1/") and request.at > after]
    return [request.path.rpartition("/")[2] for request in ours]


@pytest.mark.lab
def test_guests_reach_each_other_in_one_vlan_and_not_in_two_while_they_run(settings, tmp_path):
    built = ramdisk.build("lab", settings.DATA, print)
    for name in (FIRST, SECOND):
        give_service_card(name, tmp_path)
    with boot_server() as server, running_lab(tmp_path, count=4, ports=server.ports) as lab:
        first, second = (next(one for one in profiles(4, tmp_path) if one.name == name) for name in (FIRST, SECOND))
        url = f"http://10.0.2.100:{server.ports[0]}"
        server.boot = BOOT.format(url=url)
        server.files = {"/vmlinuz": built.kernel, "/initrd": built.initrd}
        server.texts = {"/script": SCRIPT.format(first=first.service_mac, second=second.service_mac, url=url)}
        driver = driver_for(SwitchEndpoint("lab", "lab", {"data": str(tmp_path)}))
        ports = [SwitchPort("lab", name) for name in (FIRST, SECOND)]
        for port in ports:
            driver.attach(port, 210)
        for name in (FIRST, SECOND):
            control.ask(tmp_path, "start", name=name)
        try:
            wait_until(lambda: "reach" in said(server, 0), seconds=BOOT_SECONDS, what="the first ping")
            _move_and_see(driver, ports[1], 20, server, "noreach")
            _move_and_see(driver, ports[1], 210, server, "reach")
            driver.detach(ports[0])
            assert driver.read_all(ports) == {FIRST: None, SECOND: 210}
        except AssertionError as exc:
            raise AssertionError(dump(lab, FIRST) + dump(lab, SECOND)) from exc
    assert json.loads((tmp_path / "lab" / "switch.json").read_text())[SECOND] == 210


def _move_and_see(driver, port: SwitchPort, vlan: int, server: BootServer, expected: str) -> None:
    """What was sent before the move may still be told after it; then only what is expected is."""
    driver.attach(port, vlan)
    assert driver.read(port) == vlan
    moved = time.time()
    wait_until(lambda: expected in said(server, moved), seconds=PING_SECONDS, what=expected)
    first = time.time()
    wait_until(lambda: len(said(server, first)) >= 3, seconds=PING_SECONDS, what="three pings more")
    assert set(said(server, first)) == {expected}
