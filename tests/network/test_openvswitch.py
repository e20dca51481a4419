"""The driver of Open vSwitch against the real one: userspace datapath, in network namespaces of the test's own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import needs
from machines.network import SwitchEndpoint, SwitchPort, driver_for
from machines.network.base import NetworkDriver, NetworkError, NetworkRefused
from machines.network.openvswitch import _access_tag
from tests.boot_network import _hold
from tests.practice_lab import wait_until

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PING = """
import os, socket, struct, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
sock.settimeout(1)
packet = struct.pack(">BBHHH", 8, 0, 0xFFFF - 0x0800 - 7, 7, 0)  # RFC 792: an echo request, its checksum, id 7
sock.sendto(packet, (sys.argv[1], 0))
end = time.monotonic() + 1
while time.monotonic() < end:
    answer = sock.recv(1500)
    if answer[20] == 0 and answer[24:26] == packet[4:6]:
        sys.exit(0)
sys.exit(1)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@dataclass
class Bridge:
    """br0 with the ports va and vc; behind each a host that has an address and nothing else."""

    folder: Path
    holders: "list[subprocess.Popen[bytes]]"
    started: "list[subprocess.Popen[bytes]]"

    @property
    def database(self) -> str:
        return f"unix:{self.folder}/db.sock"

    def run(self, number: int, line: str) -> "subprocess.CompletedProcess[str]":
        """In namespace 0 is the bridge, in 1 and 2 are the hosts."""
        return self._run(number, line.split())

    def _run(self, number: int, words: list[str]) -> "subprocess.CompletedProcess[str]":
        inside = ["nsenter", f"--net=/proc/{self.holders[number].pid}/ns/net", "--", *words]
        return subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)

    def must(self, number: int, line: str) -> None:
        done = self.run(number, line)
        assert done.returncode == 0, f"{line}: {done.stderr}"

    def vsctl(self, *words: str) -> str:
        done = subprocess.run(
            ["ovs-vsctl", f"--db={self.database}", "--timeout=30", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, *command: str) -> None:
        environment = os.environ | dict.fromkeys(
            ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self.folder)
        )
        inside = ["nsenter", f"--net=/proc/{self.holders[0].pid}/ns/net", "--", "setpriv", "--pdeathsig", "KILL", "--"]
        output = (self.folder / f"{name}.log").open("wb")
        self.started.append(
            subprocess.Popen(
                [*inside, *command, f"--unixctl={self.folder}/{name}.ctl"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
            )
        )  # fmt: skip

    def reaches(self) -> bool:
        """Whether one host hears the other: three times, as the first may be lost to address resolution."""
        return any(self._run(1, [sys.executable, "-c", PING, "10.50.0.2"]).returncode == 0 for _ in range(3))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("ovs")
    made = Bridge(folder, [_hold(), _hold(), _hold()], [])
    try:
        _build(made)
        yield made
    finally:
        for process in [*made.started, *made.holders]:
            process.kill()
            process.wait(30)


def _build(made: Bridge) -> None:
    database = made.folder / "conf.db"
    subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True, timeout=60)
    made.start("ovsdb", str(needs.program("ovsdb-server")), str(database), f"--remote=p{made.database}")
    wait_until((made.folder / "db.sock").exists, seconds=60, what="Open vSwitch's database")
    made.vsctl("--no-wait", "init")
    made.start("vswitchd", str(needs.program("ovs-vswitchd")), made.database)
    for number, (outside, inside) in enumerate((("va", "vb"), ("vc", "vd")), start=1):
        made.must(0, f"ip link add {outside} type veth peer name {inside}")
        made.must(0, f"ip link set {inside} netns {made.holders[number].pid}")
        made.must(0, f"ip link set {outside} up")
        made.must(number, f"ip address add 10.50.0.{number}/24 dev {inside}")
        made.must(number, f"ip link set {inside} up")
    made.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    made.vsctl("add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=netdev")
    for port in ("va", "vc"):
        made.vsctl("add-port", "br0", port, "tag=10")


def driver_of(bridge: Bridge, **settings: str) -> NetworkDriver:
    return driver_for(SwitchEndpoint("soft", "openvswitch", {"database": bridge.database, "bridge": "br0"} | settings))


def port(name: str) -> SwitchPort:
    return SwitchPort("soft", name)


@needs_root
def test_hosts_reach_each_other_in_one_vlan_and_not_in_two_and_again(bridge):
    driver = driver_of(bridge)
    for vlan in (210, 210):  # twice is as good as once
        driver.attach(port("va"), vlan)
        driver.attach(port("vc"), vlan)
    assert driver.read_all([port("va"), port("vc")]) == {"va": 210, "vc": 210}
    wait_until(bridge.reaches, seconds=60, what="the other host")
    driver.attach(port("vc"), 20)
    assert driver.read(port("vc")) == 20
    wait_until(lambda: not bridge.reaches(), seconds=60, what="silence")
    driver.attach(port("vc"), 210)
    wait_until(bridge.reaches, seconds=60, what="the other host again")


@needs_root
def test_what_is_no_access_port_of_this_bridge_is_left_alone(bridge):
    driver = driver_of(bridge)
    bridge.vsctl("add-port", "br0", "trunk", "trunks=1,2", "--", "set", "Interface", "trunk", "type=internal")
    bridge.vsctl("add-port", "br0", "all", "--", "set", "Interface", "all", "type=internal")
    bridge.vsctl("add-port", "br1", "other", "tag=10", "--", "set", "Interface", "other", "type=internal")
    before = bridge.vsctl("--columns=name,tag,trunks", "list", "Port")
    for name, words in {
        "trunk": "no access port", "all": "no access port", "other": "on the bridge br1, not on br0",
        "nobody": "no port named nobody", "--help": "no name of a port", "va tag=5": "no name of a port",
    }.items():  # fmt: skip
        for call in (driver.read, lambda each: driver.attach(each, 210)):
            with pytest.raises(NetworkRefused, match=words):
                call(port(name))
    assert bridge.vsctl("--columns=name,tag,trunks", "list", "Port") == before


@needs_root
def test_a_switch_that_is_away_is_tried_again(bridge):
    with pytest.raises(NetworkError, match="ovs-vsctl says") as caught:
        driver_of(bridge, database=f"unix:{bridge.folder}/nobody.sock").read(port("va"))
    assert not isinstance(caught.value, NetworkRefused)


def test_a_database_elsewhere_than_a_socket_is_refused(tmp_path):
    for text in ("file:/etc/passwd", "unix:relative", "tcp:a b", "unix:/x --db=tcp:y"):
        driver = driver_for(SwitchEndpoint("soft", "openvswitch", {"database": text, "bridge": "br0"}))
        with pytest.raises(NetworkRefused, match="no database of Open vSwitch"):
            driver.read(port("va"))


def test_without_its_program_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    driver = driver_for(SwitchEndpoint("soft", "openvswitch", {"bridge": "br0"}))
    with pytest.raises(NetworkRefused, match="ovs-vsctl is missing"):
        driver.read(port("va"))


@pytest.mark.parametrize(("seconds", "script"), [(2.0, "exec sleep 15"), (60.0, "exec yes")])
def test_a_program_that_hangs_or_talks_without_end_is_given_up(monkeypatch, tmp_path, seconds, script):
    """The endless one fills no memory: its reader has a limit of its own."""
    false = tmp_path / "ovs-vsctl"
    false.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    driver = driver_for(SwitchEndpoint("soft", "openvswitch", {"bridge": "br0"}))
    monkeypatch.setattr(type(driver), "seconds", seconds)
    with pytest.raises(NetworkError, match=r"did not answer|unexpected answer.*MemoryError"):
        driver.read(port("va"))


@pytest.mark.parametrize(
    "answer",
    ["", "x", "[]", "{}", "{\"data\": 5}", json.dumps({"headings": ["tag"], "data": [[5]]}),
     json.dumps({"headings": ["tag", "trunks", "vlan_mode"], "data": []})],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_told(answer):
    with pytest.raises(NetworkError, match="cannot be read"):
        _access_tag(port("va"), answer)
