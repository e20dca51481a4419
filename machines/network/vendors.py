"""What is said to switches of each make, and how their answers are read. By their manuals; see docs/networks.md.

`{port}`, `{vlan}` and `{was}` (the VLAN before) stand in the lines. A line that begins with ! belongs into the
configuration mode; the others are said at the prompt.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from machines.network.base import NetworkError, NetworkRefused, plain


@dataclass(frozen=True)
class Found:
    """The VLAN of an access port; `is_dead` where the switch says that it does not carry that VLAN."""

    vlan: int | None
    is_dead: bool = False


@dataclass(frozen=True)
class Vendor:
    """`device` is netmiko's name for it. `refusals` are in what a switch says of a line that it did not take."""

    slug: str
    label: str
    device: str
    read: str
    found: Callable[[str, str], Found]
    attach: tuple[str, ...]
    join: tuple[str, ...] = ()
    """Instead of `attach` where the port is in no VLAN, as after lines of which only the first were taken."""
    save: tuple[str, ...] = ()
    refusals: str = r"^\s*%\s*(Invalid|Incomplete|Ambiguous|Unrecognized|Authorization|Permission|Error)"
    has_enable: bool = False


MODE = re.compile(r"^\s*(Administrative|Operational) Mode:\s*(.+?)\s*$", re.MULTILINE)
ACCESS_VLAN = re.compile(r"^\s*Access Mode VLAN:\s*(\d{1,4})\s*(?:\((.*?)\))?\s*$", re.MULTILINE)
ACCESS = ("static access", "access")


def switchport(answer: str, port: str) -> Found:
    """From `show interfaces PORT switchport`, as IOS, NX-OS and EOS print it."""
    modes: dict[str, str] = {name: mode.lower() for name, mode in MODE.findall(answer)}
    mode = modes.get("Administrative") or modes.get("Operational")
    if mode is None:
        raise NetworkRefused(f"{port}: the switch does not know it as a port of VLANs: {plain(answer)}")
    if mode not in ACCESS:
        raise NetworkRefused(f"{port} is no access port ({plain(mode, limit=40)}): make it one by hand first")
    if not (vlan := ACCESS_VLAN.search(answer)):
        raise NetworkError(f"{port}: the switch does not say its VLAN: {plain(answer)}")
    return Found(int(vlan[1]), is_dead=(vlan[2] or "").lower() == "inactive")


def sonic(answer: str, port: str) -> Found:
    """From `show vlan config`: columns Name, VID, Member, Mode."""
    if not re.search(r"^\s*Name\s+VID\s+Member\s+Mode\s*$", answer, re.MULTILINE):
        raise NetworkError(f"{port}: the switch does not list its VLANs: {plain(answer)}")
    rows = [line.split() for line in answer.splitlines()]
    mine = [(row[1], row[3]) for row in rows if len(row) == 4 and row[2] == port and row[1].isdecimal()]
    if not mine:
        return Found(None)
    if len(mine) > 1 or mine[0][1] != "untagged":
        raise NetworkRefused(f"{port} carries several VLANs, or a tagged one: make it an access port by hand first")
    return Found(int(mine[0][0]))


def bridge(answer: str, port: str) -> Found:
    """From `bridge -json vlan show dev PORT` (iproute2), whose last line is the JSON."""
    try:
        text = next(line for line in answer.splitlines() if line.lstrip().startswith("["))
        vlans = [each for entry in json.loads(text) if entry.get("ifname") == port for each in entry["vlans"]]
        access = [each["vlan"] for each in vlans if {"PVID", "Egress Untagged"} <= set(each.get("flags", ()))]
    except (StopIteration, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise NetworkError(f"{port}: the switch does not say its VLAN: {plain(answer)}") from exc
    if not vlans:
        raise NetworkRefused(f"{port} is no port of the bridge")
    if len(vlans) != 1 or len(access) != 1 or type(access[0]) is not int:
        raise NetworkRefused(f"{port} carries several VLANs, or a tagged one: make it an access port by hand first")
    return Found(access[0])


ACCESS_LINES = ("!interface {port}", "!switchport access vlan {vlan}")
SHELL_REFUSALS = r"(?im)^(error|usage:|sudo:|invalid|.*(command not found|permission denied))"

VENDORS = {
    vendor.slug: vendor
    for vendor in (
        Vendor(
            "arista", "Arista EOS", "arista_eos", "show interfaces {port} switchport", switchport, ACCESS_LINES,
            save=("write memory",), has_enable=True,
        ),
        Vendor(
            "ios", "Cisco IOS, IOS XE", "cisco_ios", "show interfaces {port} switchport", switchport, ACCESS_LINES,
            save=("write memory",), has_enable=True,
        ),
        Vendor(
            "nxos", "Cisco NX-OS", "cisco_nxos", "show interface {port} switchport", switchport, ACCESS_LINES,
            save=("copy running-config startup-config",),
        ),
        Vendor(
            "sonic", "SONiC", "linux", "show vlan config", sonic,
            ("sudo config vlan member del {was} {port}", "sudo config vlan member add --untagged {vlan} {port}"),
            join=("sudo config vlan member add --untagged {vlan} {port}",),
            save=("sudo config save -y",), refusals=SHELL_REFUSALS,
        ),
        Vendor(
            "cumulus", "Cumulus Linux 5 (NVUE)", "linux", "bridge -json vlan show dev {port}", bridge,
            ("nv set interface {port} bridge domain br_default access {vlan}", "nv config apply -y"),
            save=("nv config save",), refusals=SHELL_REFUSALS,
        ),
    )
}  # fmt: skip
