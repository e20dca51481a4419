"""Machines that exist only in a test, as they are: their power, what runs in them, and what was written on their disk.

They are what Dodai's words are compared with. Nothing here looks into the database.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from machines.power.base import BmcEndpoint, BootDevice, Power, PowerDriver, PowerError, PowerRefused

SPELLINGS: tuple[Callable[[str], str], ...] = (
    str, str.upper, lambda mac: mac.replace(":", "-"), lambda mac: mac.replace(":", ""),
)  # fmt: skip
FATES = ("arrives", "arrives", "arrives", "twice", "lost", "answer lost", "held")
ILLNESSES = ("well", "well", "silent", "refuses", "idle", "mute")


@dataclass
class Kernel:
    """A booted ramdisk. `stage` is how far its script has come; it stops where the server tells it to."""

    boot_id: str
    token: str
    attempt: int
    inspects: bool
    stage: int = 0
    may_write: bool = False
    first_boot: str = ""
    sign: str = ""
    copied_bytes: int = 0


@dataclass
class Os:
    """The OS on the disk; one that Dodai installed has a URL to call at its first boot, and shows its sign by SSH."""

    first_boot: str = ""
    sign: str = ""


@dataclass
class Message:
    """Something a machine says: `said` takes the answer to it, if one comes."""

    path: str
    body: dict[str, Any]
    token: str
    said: Callable[[HttpResponse], None]
    attempt: int
    boot_id: str = ""


@dataclass
class Hardware:
    name: str
    mac: str
    facts: dict[str, Any]
    address: str = ""
    power: Power = Power.ON
    device: BootDevice = BootDevice.DISK
    runs: Kernel | Os | None = field(default_factory=Os)
    bmc: str = "well"
    is_unheard: bool = False
    """Nothing that its OS says arrives."""
    disk: Os = field(default_factory=Os)
    disk_of: int = 0
    """The attempt whose OS is on the disk as a whole; 0 is whatever was there before."""
    answers: list[str] = field(default_factory=list)
    """Boot answers that led to a ramdisk; firmware may still use one much later."""
    writers: dict[int, set[str]] = field(default_factory=dict)
    """Attempt -> kernel boots that wrote for it."""

    def switch(self, power: Power) -> None:
        self.power, self.runs = power, None

    def greeting(self) -> str:
        """The first line of the SSH server of the OS that runs in it, if one does."""
        is_up = self.power == Power.ON and isinstance(self.runs, Os)
        return f"SSH-2.0-OpenSSH_9.2p1 {self.runs.sign}" if is_up else ""

    def writes_for(self) -> int:
        """The attempt whose script may be writing right now, 0 if none does."""
        kernel = self.runs
        return kernel.attempt if isinstance(kernel, Kernel) and kernel.may_write else 0


class Bmc(PowerDriver):
    """Carries out what it is told, unless its `bmc` says that it is ill. `began` and `ended` stand around each call."""

    slug = "room"
    label = "Of this test"

    def __init__(self, endpoint: BmcEndpoint, machine: Hardware, began: Callable, ended: Callable) -> None:  # type: ignore[type-arg]
        super().__init__(endpoint)
        self._machine, self._began, self._ended = machine, began, ended

    def state(self) -> Power:
        self._call("state", lambda: None)
        return self._machine.power

    def on(self) -> None:
        self._call("on", self._start)

    def off(self) -> None:
        self._call("off", lambda: self._machine.switch(Power.OFF))

    def soft_off(self) -> None:
        self.off()

    def reset(self) -> None:
        if self._machine.power == Power.OFF and self._machine.bmc == "well":
            raise PowerRefused(f"{self._machine.name} is off")
        self._call("reset", lambda: self._machine.switch(Power.ON))

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        def choose() -> None:
            self._machine.device = device

        self._call(f"boot from {device}", choose)

    def boot_device(self) -> BootDevice | None:
        self._call("boot device", lambda: None)
        return self._machine.device

    def _start(self) -> None:
        if self._machine.power == Power.OFF:
            self._machine.switch(Power.ON)

    def _call(self, what: str, effect: Callable[[], None]) -> None:
        self._began(self._machine, what)
        match self._machine.bmc:
            case "silent":
                raise PowerError(f"{self._machine.name}: the BMC does not answer")
            case "refuses":
                raise PowerRefused(f"{self._machine.name}: the BMC refused the password")
            case "idle" if what != "state":
                pass  # it says yes and does nothing
            case "mute":
                effect()
                self._ended(self._machine, what)
                raise PowerError(f"{self._machine.name}: the answer of the BMC was lost")
            case _:
                effect()
        self._ended(self._machine, what)


_requests = RequestFactory()


def call(path: str, *, token: str = "", body: dict[str, Any] | None = None, form: bool = False) -> HttpResponse:
    """Ask the real view that the provisioning listener has for this path; a GET without a body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is None:
        request = _requests.get(path, headers=headers)
    elif form:
        request = _requests.post(path, body, headers=headers)
    else:
        request = _requests.post(path, json.dumps(body), "application/json", headers=headers)
    view, args, kwargs = resolve(path.partition("?")[0], urlconf="dodaiweb.provision_urls")
    response: HttpResponse = view(request, *args, **kwargs)
    assert response.status_code in (200, 400, 404, 410), (path, response.status_code, response.content[:300])
    return response


def new_boot_id() -> str:
    return str(uuid.uuid4())
