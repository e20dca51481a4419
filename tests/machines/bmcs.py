"""A real IPMI server on loopback, whose machine is a piece of paper."""

import asyncio
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from lab.bmc import GuestBmc
from lab.guest import BootOverride, GuestIsOff
from lab.profiles import Profile
from machines.power.base import BmcEndpoint
from tests import ports

PASSWORD = "hunter2-hunter2"


class PaperGuest:
    def __init__(self, profile: Profile) -> None:
        self.profile, self.is_on, self.override = profile, False, BootOverride()
        self.ignores_shutdown = self.forgets_boot = False

    async def power_on(self) -> None:
        self.is_on = True

    async def power_off(self) -> None:
        self.is_on = False

    async def power_cycle(self) -> None:
        await self.reset()

    async def reset(self) -> None:
        if not self.is_on:
            raise GuestIsOff(self.profile.name)

    async def soft_off(self) -> None:
        self.is_on = self.is_on and self.ignores_shutdown

    async def interrupt(self) -> None: ...

    async def set_boot(self, override: BootOverride) -> None:
        self.override = BootOverride() if self.forgets_boot else override


class PaperView:
    """What the machine is like now, asked from the process it lives in."""

    def __init__(self, ask: Connection) -> None:
        self.__dict__["_ask"] = ask

    def __getattr__(self, name: str) -> Any:
        self._ask.send((name,))
        return self._ask.recv()

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask.send((name, value))
        self._ask.recv()


@contextmanager
def running_bmc(name: str = "node1") -> Iterator[tuple[PaperView, BmcEndpoint]]:
    """In a process of its own: pyghmi's locks, held by a thread here, would be held for ever in a forked caller."""
    profile = Profile(
        name=name, firmware="bios", mac="52:54:00:00:00:01", serial="S", uuid="00000000-0000-0000-0000-000000000001",
        disk_serial="D", disk_bus="virtio", bmc_port=ports.free(kind=socket.SOCK_DGRAM)[0], bmc_password=PASSWORD,
    )  # fmt: skip
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(profile, theirs), daemon=True)
    server.start()
    view = PaperView(ours)
    assert view.is_on is False
    try:
        yield view, BmcEndpoint(name, "ipmi", "127.0.0.1", profile.bmc_port, username="admin", password=PASSWORD)
    finally:
        server.kill()
        server.join()


def _serve(profile: Profile, asked: Connection) -> None:
    guest, loop = PaperGuest(profile), asyncio.new_event_loop()

    def answer() -> None:
        name, *value = asked.recv()
        if value:
            setattr(guest, name, value[0])
        asked.send(getattr(guest, name))

    asyncio.set_event_loop(loop)
    loop.run_until_complete(GuestBmc(guest).open())  # type: ignore[arg-type]
    loop.add_reader(asked.fileno(), answer)
    loop.run_forever()
