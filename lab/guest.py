"""One practice server that can be switched on: its power, its boot order, its console."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lab import qemu
from lab.console import CappedLog, record, tail
from lab.errors import LabError
from lab.profiles import BootOrder, Profile, folder
from lab.qmp import Monitor
from lab.switch import Switch

log = logging.getLogger(__name__)

BootDevice = Literal["default", "network", "disk"]
STOP_SECONDS = 5  # a QEMU that has not ended by then is killed
_PORT_TRIES = 5  # somebody else may take a port between the moment it was free and the moment QEMU asks for it
_STDERR_BYTES = 2000


class GuestIsOff(LabError):
    """The server would have to be on for that."""


@dataclass(frozen=True)
class BootOverride:
    """What the BMC was told to boot from, instead of the firmware's own order; a one-time one ends with the boot."""

    device: BootDevice = "default"
    persistent: bool = False
    uefi: bool = False


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    monitor: Monitor
    ended: asyncio.Event
    cable: qemu.Cable
    boot_indexes: dict[str, int]
    ports: dict[int, int] = field(default_factory=dict)


class Guest:
    """All methods belong to one event loop. Power methods wait for one another, in the order they were called."""

    def __init__(
        self,
        profile: Profile,
        data: Path,
        *,
        cable: Callable[[Profile], qemu.Cable],
        accelerator: Callable[[], Awaitable[str]],
        switch: Switch | None = None,
    ) -> None:
        self.profile = profile
        self.data = data
        self.home = folder(profile, data)
        self._cable = cable
        self._accelerator = accelerator
        self._switch = switch
        self._running: _Running | None = None
        self._power = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        qemu.make_files(profile, data)
        self._override = self._load_override()

    @property
    def is_on(self) -> bool:
        return self._running is not None and self._running.process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._running.process.pid if self._running and self.is_on else None

    @property
    def cable(self) -> qemu.Cable | None:
        """What the running guest is plugged into."""
        return self._running.cable if self._running and self.is_on else None

    @property
    def override(self) -> BootOverride:
        return self._override

    @property
    def console_path(self) -> Path:
        return self.home / "console.log"

    async def power_on(self) -> None:
        """Raises LabError with QEMU's last words when it does not start."""
        async with self._power:
            await self._on()

    async def power_off(self) -> None:
        """Pull the plug. The server is off, or LabError is raised."""
        async with self._power:
            await self._off()

    async def power_cycle(self) -> None:
        async with self._power:
            self._must_be_on()
            await self._off()
            await self._on()

    async def reset(self) -> None:
        async with self._power:
            running = self._must_be_on()
            log.info("%s: reset, boots from %s first", self.profile.name, self._first())
            await running.monitor.execute("system_reset")

    async def soft_off(self) -> None:
        """Press the ACPI power button: whether anything happens is up to what runs in the server."""
        async with self._power:
            await self._must_be_on().monitor.execute("system_powerdown")

    async def interrupt(self) -> None:
        async with self._power:
            await self._must_be_on().monitor.execute("inject-nmi")

    async def set_boot(self, override: BootOverride) -> None:
        """Counts from the next boot on, also from one that the server's own OS starts."""
        self._keep_override(override)
        log.info("%s: boot device set: %s", self.profile.name, override)
        await self._tell_order()

    async def open_port(self, port: int) -> int:
        """A port of this host's 127.0.0.1 that leads to that TCP port of the server, until it is switched off."""
        async with self._power:
            running = self._must_be_on()
            if not running.cable.ipxe_rom:
                raise LabError(f"{self.profile.name} is on a network that this computer has no way into")
            if port not in running.ports:
                running.ports[port] = await _forwarded(running.monitor, port)
            return running.ports[port]

    async def _on(self) -> None:
        if self.is_on:
            return
        accelerator, first = await self._accelerator(), self._first()
        log.info("%s: power on (%s), boots from %s first", self.profile.name, accelerator, first)
        ours, theirs = socket.socketpair()
        service = await self._switch.plug(self.profile.name) if self._switch and self.profile.service_mac else None
        try:
            self._running = self._start(self._cable(self.profile), first, accelerator, monitor=theirs, service=service)
            await self._running.monitor.open(ours)
            await self._booting()
        except LabError as exc:
            await self._off()
            words = tail(self.home / "qemu.log", _STDERR_BYTES).decode(errors="replace").strip()
            log.error("%s: QEMU said: %s", self.profile.name, words or "nothing")
            raise LabError(f"{self.profile.name} did not start: {exc}. {words}") from exc
        finally:
            theirs.close()
            if service:
                service.close()

    def _start(
        self, cable: qemu.Cable, first: BootOrder, accelerator: str, *, monitor: socket.socket,
        service: socket.socket | None,
    ) -> _Running:  # fmt: skip
        console, theirs = socket.socketpair()
        command = qemu.command(
            self.profile, self.data, cable=cable, first=first, accelerator=accelerator,
            monitor_fd=monitor.fileno(), console_fd=theirs.fileno(), service_fd=service.fileno() if service else None,
        )  # fmt: skip
        ends = [end.fileno() for end in (monitor, theirs, service) if end]
        with theirs, (self.home / "qemu.log").open("wb") as words:
            try:
                # A session of its own: Ctrl-C in a terminal is for the lab, which then ends its guests in order.
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True,
                    pass_fds=ends,
                )  # fmt: skip
            except OSError as exc:
                console.close()
                raise LabError(str(exc)) from exc
        running = _Running(process, Monitor(self._take_event), asyncio.Event(), cable, _indexes(cable, first))
        self._watch(running)
        self._spawn(record(console, CappedLog(self.console_path)))
        return running

    def _watch(self, running: _Running) -> None:
        """Reap QEMU the moment it ends: killed, crashed, or switched off by its own OS."""
        loop, pidfd = asyncio.get_running_loop(), os.pidfd_open(running.process.pid)

        def reap() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            log.info("%s: off (QEMU's exit status %s)", self.profile.name, running.process.wait())
            running.monitor.close()
            running.ended.set()

        loop.add_reader(pidfd, reap)

    async def _off(self) -> None:
        running = self._running
        if running is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if running.process.poll() is None:
                running.process.send_signal(number)
            try:
                await asyncio.wait_for(running.ended.wait(), STOP_SECONDS)
            except TimeoutError:
                continue
            self._running = None
            return
        raise LabError(f"{self.profile.name}: QEMU (pid {running.process.pid}) cannot be ended")

    def _take_event(self, event: str, data: dict[str, Any]) -> None:
        log.debug("%s: %s %s", self.profile.name, event, data)
        if event == "RESET":
            self._spawn(self._booting())

    async def _booting(self) -> None:
        """QEMU has read the boot order for the boot that begins: a one-time override is used up, and the order of the
        boot after it can be told."""
        if not self._override.persistent and self._override.device != "default":
            self._keep_override(BootOverride())
        await self._tell_order()

    async def _tell_order(self) -> None:
        """QEMU hands a changed bootindex to the firmware at the next reset; one that is off gets it at its start."""
        running = self._running
        if running is None:
            return
        wanted = _indexes(running.cable, self._first())
        try:
            for path, index in wanted.items():
                if running.boot_indexes[path] != index:  # QEMU refuses an index that is taken, even by itself
                    await running.monitor.execute("qom-set", path=path, property="bootindex", value=index)
            running.boot_indexes = wanted
        except LabError:
            if self.is_on:
                raise

    def _first(self) -> BootOrder:
        """What the next boot tries first."""
        return self.profile.boot_order if self._override.device == "default" else self._override.device

    def _must_be_on(self) -> _Running:
        if self._running is None or not self.is_on:
            raise GuestIsOff(f"{self.profile.name} is off")
        return self._running

    def _keep_override(self, override: BootOverride) -> None:
        self._override = override
        new = self.home / "bmc.new"
        new.write_text(json.dumps(asdict(override)))
        new.replace(self.home / "bmc.json")

    def _load_override(self) -> BootOverride:
        try:
            return BootOverride(**json.loads((self.home / "bmc.json").read_text()))
        except FileNotFoundError:
            return BootOverride()
        except (ValueError, TypeError) as exc:
            log.warning("%s: bmc.json cannot be read (%s); the firmware's boot order holds", self.profile.name, exc)
            return BootOverride()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()):
            log.error("%s: %s", self.profile.name, exc, exc_info=exc)


async def _forwarded(monitor: Monitor, port: int) -> int:
    said = ""
    for _ in range(_PORT_TRIES):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ours: int = free.getsockname()[1]
        line = f"hostfwd_add net0 tcp:127.0.0.1:{ours}-:{port}"
        said = await monitor.execute("human-monitor-command", **{"command-line": line})
        if not said:
            return ours
    raise LabError(f"QEMU opens no way to port {port}: {said.strip()}")


def _indexes(cable: qemu.Cable, first: BootOrder) -> dict[str, int]:
    return qemu.boot_indexes(first, own_firmware=not cable.ipxe_rom)
