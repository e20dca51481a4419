"""Open vSwitch, by `ovs-vsctl` (its manual page is the reference)."""

import json
import re
import subprocess
from functools import partial
from typing import Any

from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, Setting, SwitchPort, plain, safe_name
from machines.network.child import call_in_child

ANSWER_SECONDS = 5  # ovs-vsctl's own limit
DATABASE = re.compile(r"(unix:/[\w./-]{1,200}|(tcp|ssl):[\w.:\[\]-]{1,200})")


class OpenVSwitchNetwork(NetworkDriver):
    """An access port has a tag, no trunks, and `access` or nothing as its mode. Other ports are refused."""

    slug = "openvswitch"
    label = "Open vSwitch"
    settings = (
        Setting("database", "database", default="unix:/var/run/openvswitch/db.sock",
                help="As for ovs-vsctl --db: unix:/path, tcp:address:6640 or ssl:address:6640."),
        Setting("bridge", "bridge", help="Ports of other bridges are left alone."),
    )  # fmt: skip

    def read(self, port: SwitchPort) -> int | None:
        return int(self._call(partial(self._tag, port)))

    def attach(self, port: SwitchPort, vlan: int) -> None:
        self._call(partial(self._set, port, vlan))

    def _call(self, work: Any) -> Any:
        return call_in_child(work, whom=str(self.endpoint), seconds=self.seconds)

    def _set(self, port: SwitchPort, vlan: int) -> None:
        self._tag(port)
        self._vsctl("set", "Port", safe_name(port), f"tag={int(vlan)}")

    def _tag(self, port: SwitchPort) -> int:
        name = safe_name(port)
        bridge = self._vsctl("port-to-br", name).strip()
        if bridge != self.setting("bridge"):
            raise NetworkRefused(f"{port} is on the bridge {plain(bridge)}, not on {self.setting('bridge')}")
        answer = self._vsctl("--format=json", "--columns=tag,trunks,vlan_mode", "list", "Port", name)
        return _access_tag(port, answer)

    def _vsctl(self, *words: str) -> str:
        database = self.setting("database")
        if not DATABASE.fullmatch(database):
            raise NetworkRefused(f"{self.endpoint}: {plain(database)} is no database of Open vSwitch")
        command = ["ovs-vsctl", f"--db={database}", f"--timeout={ANSWER_SECONDS}", "--", *words]
        if words[0].startswith("--format"):
            command = [*command[: -len(words) - 1], words[0], "--", *words[1:]]
        try:
            done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        except FileNotFoundError as exc:
            raise NetworkRefused("ovs-vsctl is missing: apt-get install openvswitch-common") from exc
        if done.returncode:
            raise _error(self, done.stderr)
        return done.stdout.decode(errors="replace")


def _error(driver: OpenVSwitchNetwork, said: bytes) -> NetworkError:
    words = plain(said)
    gone = "no port named" in words or "no row" in words
    return (NetworkRefused if gone else NetworkError)(f"{driver.endpoint}: ovs-vsctl says: {words or 'nothing'}")


def _access_tag(port: SwitchPort, answer: str) -> int:
    """From `{"headings": [...], "data": [[tag, trunks, vlan_mode]]}`; an empty set is `["set", []]` (RFC 7047)."""
    try:
        table = json.loads(answer)
        [row] = table["data"]
        values = dict(zip(table["headings"], row, strict=True))
        tag, trunks, mode = (values[name] for name in ("tag", "trunks", "vlan_mode"))
    except (ValueError, KeyError, TypeError) as exc:
        raise NetworkError(f"{port}: ovs-vsctl's answer cannot be read: {plain(answer)}") from exc
    if not isinstance(tag, int) or trunks != ["set", []] or mode not in (["set", []], "access"):
        raise NetworkRefused(f"{port} is no access port: set its tag once by hand (ovs-vsctl set Port … tag=…)")
    return tag
