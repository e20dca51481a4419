"""What a power driver is. Read fake.py next, then ipmi.py."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Power(StrEnum):
    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(state.value, state.value.capitalize()) for state in cls]


class BootDevice(StrEnum):
    NETWORK = "network"
    DISK = "disk"
    DEFAULT = "default"


class PowerError(Exception):
    """The BMC did not do it. Trying again may help: busy, timed out, unreachable."""


class PowerRefused(PowerError):
    """Trying again will not help: wrong password, missing setting, no such command."""


class NeedsOperator(PowerRefused):
    """Nobody but a person can do this to the machine."""


@dataclass(frozen=True)
class BmcEndpoint:
    """Where a machine's management controller is, and how to log in."""

    machine: str
    driver: str
    host: str = ""
    port: int = 623
    system_id: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    uefi: bool | None = None
    """None while nobody has looked."""
    # What Test BMC found to work; None and "" leave it to the driver.
    cipher_suite: int | None = None
    privilege: str = ""
    tls_fingerprint: str = ""
    """SHA-256 of the one certificate that is taken, in hexadecimal; "" leaves it to the authorities of `ca_file`."""
    ca_file: str = ""

    def __str__(self) -> str:
        return f"{self.machine}: the BMC at {self.host}:{self.port}"


class PowerDriver(ABC):
    """Switches one machine on and off.

    Every method may be called twice in a row, returns within some seven seconds, and raises PowerError
    (try again) or PowerRefused (do not).
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    can_be_read: ClassVar[bool] = True
    needs_address: ClassVar[bool] = True
    default_port: ClassVar[int] = 623

    def __init__(self, endpoint: BmcEndpoint) -> None:
        self.endpoint = endpoint

    @abstractmethod
    def state(self) -> Power: ...

    @abstractmethod
    def on(self) -> None: ...

    @abstractmethod
    def off(self) -> None: ...

    @abstractmethod
    def soft_off(self) -> None:
        """Ask the OS to shut down (ACPI). It may do nothing: whoever asks sets a time for `off`."""

    @abstractmethod
    def reset(self) -> None:
        """Restart a machine that is on. PowerRefused when it is off."""

    @abstractmethod
    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        """Choose the boot device of the next start, or of every start."""

    @abstractmethod
    def boot_device(self) -> BootDevice | None:
        """What `boot_from` left at the BMC, None when it does not tell."""
