"""The running lab: its guests, their BMCs, the native network where there is one, and the control socket."""

import asyncio
import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import IO, Any

from lab import control, needs
from lab.accelerator import Accelerator
from lab.bmc import GuestBmc
from lab.console import tail
from lab.errors import LabError
from lab.guest import Guest
from lab.namespace import NativeNetwork
from lab.profiles import Profile, lab_folder
from lab.qemu import Cable, Ports, confined_cable
from lab.switch import Switch

log = logging.getLogger(__name__)

CONSOLE_BYTES = 1 << 16
SSH_PORT = 22


async def run(profiles: list[Profile], data: Path, ports: Ports, *, accel: str = "auto") -> None:
    """Run the lab until SIGTERM or SIGINT. Raises LabError when it cannot start."""
    lab = Lab(profiles, data, ports)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await lab.start(accel=accel)
        log.info("the lab runs: %d practice servers", len(profiles))
        await stop.wait()
    finally:
        await lab.stop()


class Lab:
    def __init__(self, profiles: list[Profile], data: Path, ports: Ports) -> None:
        self.profiles = profiles
        self.data = data
        self.ports = ports
        self.accelerator = Accelerator(data)
        self.native = NativeNetwork(ports)
        self.switch = Switch([profile.name for profile in profiles], lab_folder(data) / "switch.json")
        self.guests: dict[str, Guest] = {}
        self.problems: dict[str, str] = {}
        self._bmcs: list[GuestBmc] = []
        self._server: asyncio.Server | None = None
        self._lock: IO[str] | None = None
        self._settling: asyncio.Task[None] | None = None

    async def start(self, *, accel: str = "auto") -> None:
        """Bring all up, the guests switched off. A guest whose BMC cannot be had is told of in the status."""
        if missing := [package for package in needs.missing() if package not in needs.missing_for_namespace()]:
            raise LabError(f"the lab needs Debian packages that are missing: apt-get install {' '.join(missing)}")
        self._lock = _lock(self.data)
        self.accelerator.name = accel
        self._settling = asyncio.create_task(self.accelerator.settle())
        await self.native.start([profile for profile in self.profiles if profile.native_pxe])
        for profile in self.profiles:
            guest = Guest(profile, self.data, cable=self._cable, accelerator=self.accelerator.find, switch=self.switch)
            self.guests[profile.name] = guest
            await self._open_bmc(guest)
        self._server = await control.serve(self.data, self._answer)

    async def stop(self) -> None:
        """Leave nothing behind: no guest, no network, no socket."""
        if self._settling:
            self._settling.cancel()
        if self._server:
            self._server.close()
            (lab_folder(self.data) / "control.sock").unlink(missing_ok=True)
        for bmc in self._bmcs:
            bmc.close()
        ends = await asyncio.gather(*(guest.power_off() for guest in self.guests.values()), return_exceptions=True)
        self.switch.close()
        await self.native.stop()
        if self._lock:
            self._lock.close()
        for problem in filter(None, ends):
            log.error("%s", problem)

    def status(self) -> dict[str, Any]:
        """JSON: the lab and, under `machines`, each server. No passwords."""
        return {
            "pid": os.getpid(),
            "accelerator": self.accelerator.name,
            "native_pxe": {"works": self.native.is_up, "reason": self.native.reason},
            "provision_port": self.ports.provision,
            "image_port": self.ports.image,
            "machines": [self._machine(guest) for guest in self.guests.values()],
        }

    def _machine(self, guest: Guest) -> dict[str, Any]:
        profile, override = guest.profile, guest.override
        return {
            "name": profile.name,
            "firmware": profile.firmware,
            "disk_bus": profile.disk_bus,
            "power": "on" if guest.is_on else "off",
            "pid": guest.pid,
            "bmc": f"{profile.bmc_host}:{profile.bmc_port}",
            "mac": profile.mac,
            "service_mac": profile.service_mac,
            "serial": profile.serial,
            "uuid": profile.uuid,
            "memory_mib": profile.memory_mib,
            "disk_gib": profile.disk_gib,
            "boot_order": profile.boot_order,
            "boot_override": {"device": override.device, "persistent": override.persistent},
            "native_pxe": not (guest.cable or self._cable(profile)).ipxe_rom,
            "accelerator": self.accelerator.name,
            "console": str(guest.console_path),
            "disk": str(guest.home / "disk.qcow2"),
            "problem": self.problems.get(profile.name),
        }

    def _cable(self, profile: Profile) -> Cable:
        return self.native.cable(profile) or confined_cable(profile, self.ports)

    async def _open_bmc(self, guest: Guest) -> None:
        bmc = GuestBmc(guest)
        try:
            await bmc.open()
        except LabError as exc:
            log.error("%s", exc)
            self.problems[guest.profile.name] = str(exc)
        else:
            self._bmcs.append(bmc)

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("do"):
            case "status":
                return self.status()
            case "start":
                await asyncio.gather(*(guest.power_on() for guest in self._named(request.get("name"))))
                return self.status()
            case "stop":
                await asyncio.gather(*(guest.power_off() for guest in self._named(request.get("name"))))
                return self.status()
            case "console":
                [guest] = self._named(str(request.get("name")))
                return {"text": tail(guest.console_path, CONSOLE_BYTES).decode(errors="replace")}
            case "ssh":
                [guest] = self._named(str(request.get("name")))
                return {"port": await guest.open_port(SSH_PORT)}
            case "vlans":
                return {"vlans": self.switch.vlans}
            case "move":
                self.switch.move(str(request.get("name")), request.get("vlan"))
                return {"vlans": self.switch.vlans}
            case other:
                raise LabError(f"the lab knows no request {other!r}")

    def _named(self, name: str | None) -> list[Guest]:
        """The guest of that name, or all."""
        if name is None:
            return list(self.guests.values())
        if name not in self.guests:
            raise LabError(f"no practice server is called {name!r}; there are {', '.join(self.guests)}")
        return [self.guests[name]]


def _lock(data: Path) -> IO[str]:
    """Only one lab a data folder. The kernel lets go of the lock when its holder ends, however that is."""
    lab_folder(data).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (lab_folder(data) / "run.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.close()
        raise LabError(f"a lab runs already for {data}; `python3 manage.py lab status` shows it") from exc
    return lock
