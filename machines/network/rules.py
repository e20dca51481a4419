"""What may be moved on a switch: the safe-list of its VLANs and ports, as people write it."""

import re
from dataclasses import dataclass

from machines.network.base import NO_VLAN, PORT_NAME, VLANS, NetworkRefused, SwitchPort, plain

MOST_PORTS = 4096
_SPACE = re.compile(r"[\s,;、]+")
_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)
_PORTS = re.compile(r"(.*?)(\d{1,5})\.\.(\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class Rules:
    """Nothing outside of these is ever touched. The quarantine VLAN is one of the VLANs by itself."""

    vlans: frozenset[int] = frozenset()
    ports: frozenset[str] = frozenset()
    quarantine: int | None = None

    def check_port(self, port: SwitchPort) -> None:
        """Raises NetworkRefused."""
        if port.name not in self.ports:
            raise NetworkRefused(f"{plain(port)} is not on the list of ports that Dodai may move: nothing was sent")

    def check_vlan(self, port: SwitchPort, vlan: int | None) -> None:
        """Where it goes. Raises NetworkRefused."""
        if not self.knows(vlan):
            raise NetworkRefused(f"{plain(port)}: VLAN {vlan} is not on the list of that switch: nothing was sent")

    def check_before(self, port: SwitchPort, vlan: int | None) -> None:
        """Where it is: what somebody put into another VLAN is theirs. Raises NetworkRefused."""
        if not self.knows(vlan):
            words = "which is not on the list of that switch: somebody else's, nothing was sent"
            raise NetworkRefused(f"{plain(port)} is in VLAN {vlan}, {words}")

    def knows(self, vlan: int | None) -> bool:
        return vlan is NO_VLAN or vlan in self.vlans or vlan == self.quarantine


def parse_vlans(text: str) -> frozenset[int]:
    """From `210-219, 300`. Raises ValueError with the word that is none."""
    found: set[int] = set()
    for word in filter(None, _SPACE.split(text)):
        match = _RANGE.fullmatch(word)
        if not match:
            raise ValueError(word)
        first, last = int(match[1]), int(match[2] or match[1])
        if first not in VLANS or last not in VLANS or first > last:
            raise ValueError(word)
        found.update(range(first, last + 1))
    return frozenset(found)


def parse_ports(text: str) -> frozenset[str]:
    """From `Ethernet1/1..24, Ethernet2/7`. Raises ValueError with the word that is none."""
    found: set[str] = set()
    for word in filter(None, _SPACE.split(text)):
        match = _PORTS.fullmatch(word)
        numbers = range(int(match[2]), int(match[3]) + 1) if match else range(0)
        if match and not 0 < len(numbers) <= MOST_PORTS:
            raise ValueError(word)
        names = [f"{match[1]}{number}" for number in numbers] if match else [word]
        if not all(PORT_NAME.fullmatch(name) for name in names):
            raise ValueError(word)
        found.update(names)
        if len(found) > MOST_PORTS:
            raise ValueError(word)
    return frozenset(found)
