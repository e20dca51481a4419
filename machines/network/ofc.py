"""dodai's OpenFlow controller, over SOAP. The calls and what they take are those that dodai-compute made.

A cluster's VLAN is a *region* there: server ports are in one region or in none, and the region reaches the VLAN
through the *outer ports* of the switches. The first server port that joins makes the region, with its outer ports;
the last one that leaves removes it. A port is called by its switch's datapath id and its number: 00:…:01/12.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, Setting, SwitchPort, plain, safe_name
from machines.network.child import call_in_child

ADDRESS = re.compile(r"https?://[A-Za-z0-9_.:\[\]-]{1,255}(/[A-Za-z0-9_./-]{0,255})?")
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
PORT = re.compile(r"([0-9A-Fa-f:]{1,23})/(\d{1,9})")
INNER_VLAN = 65535  # OpenFlow 1.0's OFP_VLAN_NONE: untagged on the servers' side
SERVER_PORT = "ServerPort"
NUMBER_NAMES = ("portNo", "portNumber", "portNum", "port")
MOST_SWITCHES, MOST_PORTS = 200, 4096  # that are looked at


class OfcNetwork(NetworkDriver):
    slug = "ofc"
    label = "dodai's OpenFlow controller (SOAP)"
    can_detach = True
    seconds = 30.0
    settings = (
        Setting("address", "address", help="Of the service: http://10.0.0.2:8080/ofc, without ?wsdl."),
        Setting("outer_ports", "outer ports", "lines",
                help="Those that carry the VLANs on, as datapath id/number, one a line."),
        Setting("prefix", "prefix of regions", default="dodai-", required=False,
                help="A region is called by it and the number of its VLAN. Regions of other names are left alone."),
    )  # fmt: skip

    def read(self, port: SwitchPort) -> int | None:
        vlan: int | None = self._call(partial(_Controller.read, port=self._port(port)))
        return vlan

    def attach(self, port: SwitchPort, vlan: int) -> None:
        self._call(partial(_Controller.attach, port=self._port(port), vlan=int(vlan)))

    def detach(self, port: SwitchPort) -> None:
        self._call(partial(_Controller.detach, port=self._port(port)))

    def _port(self, port: SwitchPort) -> "Port":
        found = _port(safe_name(port))
        if found is None:
            raise NetworkRefused(f"{port}: ports of this controller are called datapath id/number, like 00:01/12")
        return found

    def _call(self, work: Callable[["_Controller"], Any]) -> Any:
        address, prefix = str(self.setting("address")).removesuffix("?wsdl"), str(self.setting("prefix"))
        if not ADDRESS.fullmatch(address):
            raise NetworkRefused(f"{self.endpoint}: {plain(address)} is no address of a service")
        if not PREFIX.fullmatch(prefix):
            raise NetworkRefused(f"{self.endpoint}: {plain(prefix)} is no beginning of regions' names")
        lines = str(self.setting("outer_ports")).split()
        outer = [found for line in lines if (found := _port(line))]
        if len(outer) != len(lines):
            raise NetworkRefused(f"{self.endpoint}: its outer ports must be datapath id/number, one a line")
        importlib.import_module("zeep")  # once a process instead of once a call
        work_there = partial(_at_controller, work, address, prefix, outer)
        return call_in_child(work_there, whom=str(self.endpoint), seconds=self.seconds)


Port = tuple[str, int]
"""Datapath id and number."""


def _port(text: str) -> Port | None:
    found = PORT.fullmatch(text)
    return (found[1].lower(), int(found[2])) if found else None


def _at_controller(work: Callable[["_Controller"], Any], address: str, prefix: str, outer: list[Port]) -> Any:
    """In the child."""
    from machines.network.soap import Soap  # zeep takes a third of a second to import

    return work(_Controller(Soap(address), prefix, outer))


class _Controller:
    def __init__(self, soap: Any, prefix: str, outer: list[Port]) -> None:
        self._call: Callable[..., Any] = soap.call
        self._prefix = prefix
        self._outer = outer

    def read(self, port: Port) -> int | None:
        region = self._region_of(port)
        return None if region is None else self._vlan(port, region)

    def attach(self, port: Port, vlan: int) -> None:
        before, region = self._region_of(port), f"{self._prefix}{vlan}"
        if before == region:
            return
        if before is not None:
            self._vlan(port, before)
        if not self._has_ports(region):
            self._make(region, vlan)
        try:
            if before is not None:
                self._call("clearServerPort", *port)
            self._call("setServerPort", *port, region)
        finally:  # whatever came of it, no region is left behind without a port
            self._tidy(before, region)

    def detach(self, port: Port) -> None:
        region = self._region_of(port)
        if region is None:
            return
        self._vlan(port, region)
        self._call("clearServerPort", *port)
        self._tidy(region)

    def _region_of(self, port: Port) -> str | None:
        """Raises NetworkRefused for what is no port, or an outer one."""
        if port in self._outer:
            raise NetworkRefused(f"{port[0]}/{port[1]} is an outer port: it carries VLANs, no machine is there")
        for number, kind, region in self._ports(port[0]):
            if number == port[1]:
                if region and kind != SERVER_PORT:
                    raise NetworkRefused(f"{port[0]}/{number} is no server port but {plain(kind)}")
                return region or None
        raise NetworkRefused(f"the controller has no port {port[0]}/{port[1]}")

    def _vlan(self, port: Port, region: str) -> int:
        """Raises NetworkRefused where the region is none of ours."""
        digits = region.removeprefix(self._prefix)
        if not region.startswith(self._prefix) or not re.fullmatch(r"[1-9]\d{0,3}", digits, re.ASCII):
            raise NetworkRefused(f"{port[0]}/{port[1]} is in the region {plain(region)}, which is not Dodai's")
        return int(digits)

    def _make(self, region: str, vlan: int) -> None:
        """The region with its outer ports; one that a call broken off left behind gets them again."""
        if region not in self._regions():
            self._call("createRegion", region)
        try:
            for outer in self._outer:
                self._call("setOuterPortAssociationSetting", *outer, vlan, INNER_VLAN, region)
        except NetworkError:
            self._tidy(region)
            raise

    def _tidy(self, *regions: str | None) -> None:
        """Remove those of our regions that no server port is in, and have the controller keep what it has."""
        for region in regions:
            if region and region in self._regions() and not self._has_ports(region):
                for outer in self._outer:
                    self._call("clearOuterPortAssociationSetting", *outer, int(region.removeprefix(self._prefix)))
                self._call("destroyRegion", region)
        self._call("save")

    def _has_ports(self, region: str) -> bool:
        return any(
            kind == SERVER_PORT and its == region for dpid in self._switches() for _, kind, its in self._ports(dpid)
        )

    def _regions(self) -> list[str]:
        return [str(_part(each, "regionName")) for each in self._call("showRegion") or []]

    def _switches(self) -> list[str]:
        found = [str(_part(each, "dpid")).lower() for each in self._call("showSwitchDatapathId") or []]
        return found[:MOST_SWITCHES]

    def _ports(self, dpid: str) -> Iterator[tuple[int, str, str]]:
        """Number, type and region ("" for none) of each port of a switch."""
        for each in (self._call("showPorts", dpid) or [])[:MOST_PORTS]:
            number = next((value for name in NUMBER_NAMES if (value := getattr(each, name, None)) is not None), None)
            if number is None:
                raise NetworkError("showPorts: the controller's ports have no number")
            kind, region = (str(getattr(each, name, None) or "") for name in ("type", "regionName"))
            yield int(number), kind, region


def _part(thing: Any, name: str) -> Any:
    value = getattr(thing, name, None)
    if value is None:
        raise NetworkError(f"the controller's answer has no {name}")
    return value
