"""What a network driver is. Read fake.py next, then openvswitch.py."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

VLANS = range(1, 4095)  # IEEE 802.1Q, 9.6: 0 and 4095 are reserved
NO_VLAN = None
"""Where a port is that reaches nobody, on switches that have such a place."""
PORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,62}")
LONGEST_SAID = 200  # characters of what a switch said, in an error


class NetworkError(Exception):
    """The switch did not do it. Trying again may help: busy, timed out, unreachable."""


class NetworkRefused(NetworkError):
    """Trying again will not help: wrong password, no such port, a trunk, not on the list of what may be moved."""


class NeedsOperator(NetworkRefused):
    """Nobody but a person can move this port."""


@dataclass(frozen=True)
class Setting:
    """One field of the form that a driver declares. Words are English; `kind` secret is stored sealed, never shown."""

    name: str
    label: str
    kind: Literal["text", "lines", "number", "yes", "choice", "secret"] = "text"
    help: str = ""
    required: bool = True
    default: Any = ""
    choices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class SwitchEndpoint:
    """Which switch, by which driver, with the values of the settings that this driver declares."""

    name: str
    driver: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __str__(self) -> str:
        return f"the switch {self.name}"


@dataclass(frozen=True)
class SwitchPort:
    """A port by the switch's own name for it. `told` is the VLAN that a person said last; only `manual` reads it."""

    switch: str
    name: str
    told: int | None = None

    def __str__(self) -> str:
        return f"{self.switch} port {self.name}"


class NetworkDriver(ABC):
    """Moves the access ports of one switch between VLANs.

    Every method may be called twice in a row: it sets, it never toggles. It returns within `seconds`, whatever the
    switch says, and raises NetworkError (try again) or NetworkRefused (do not). It touches access ports only: a port
    that carries several VLANs is refused.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]] = ()
    can_be_read: ClassVar[bool] = True
    can_detach: ClassVar[bool] = False
    """Whether its ports can be in no VLAN at all. Those of others are parked in a quarantine VLAN."""
    seconds: ClassVar[float] = 7.0
    """The longest that one call takes."""

    def __init__(self, endpoint: SwitchEndpoint) -> None:
        self.endpoint = endpoint

    @abstractmethod
    def read(self, port: SwitchPort) -> int | None:
        """The VLAN that the switch itself says this port is in; NO_VLAN for one that is in none."""

    @abstractmethod
    def attach(self, port: SwitchPort, vlan: int) -> None:
        """Put the port into this VLAN, and into no other."""

    def detach(self, port: SwitchPort) -> None:
        """Take the port out of every VLAN. Raises NetworkRefused where the switch knows no such thing."""
        raise NetworkRefused(f"{port}: this switch has no place outside of VLANs, give it a quarantine VLAN")

    def read_all(self, ports: Iterable[SwitchPort]) -> dict[str, int | None]:
        """By the ports' names. Drivers that log in override it, to do that once."""
        return {port.name: self.read(port) for port in ports}

    def put(self, port: SwitchPort, vlan: int | None) -> None:
        """`attach`, or `detach` for NO_VLAN."""
        if vlan is NO_VLAN:
            self.detach(port)
        else:
            self.attach(port, vlan)

    def setting(self, name: str) -> Any:
        """A setting's value, or the default that it was declared with. Raises NetworkRefused when it must be given."""
        declared = next(one for one in self.settings if one.name == name)
        value = self.endpoint.settings.get(name, declared.default)
        if declared.required and value in ("", None):
            raise NetworkRefused(f"{self.endpoint} has no {declared.label}: enter it in the inventory")
        return value


def plain(said: object, *, limit: int = LONGEST_SAID) -> str:
    """What a switch said, as one short line of printable characters: nothing in it moves a terminal or forges a log."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: limit * 8]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_name(port: SwitchPort) -> str:
    """The port's name, where it goes into a command. Raises NetworkRefused for what is no name of a port."""
    if not PORT_NAME.fullmatch(port.name):
        raise NetworkRefused(f"{plain(port)} is no name of a port: letters, digits and . / : - _ only")
    return port.name
