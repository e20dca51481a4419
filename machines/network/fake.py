"""Switches that exist only in this process, or in one file for several: for tests, and as the example of a driver.

What goes wrong is told beforehand: `faults[(switch, port)]` names one of FAULTS, for as many calls as it says.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, Setting, SwitchPort

FAULTS = ("fails", "fails late", "refuses", "lies", "is slow", "cannot be read")
SLOW_SECONDS = 0.2

vlans: dict[str, int | None] = {}
"""`switch port` -> the VLAN it is in; one that is not there is in none."""
faults: dict[str, list[str]] = {}
"""`switch port` -> what goes wrong at the next writes, one each; a reading takes only `cannot be read`."""
calls: list[tuple[str, str]] = []
"""(`switch port`, what was asked), in order."""
listeners: list[Callable[[str, str], None]] = []
"""Called with the port and the command before it takes effect; may raise NetworkError."""


def forget() -> None:
    for collection in (vlans, faults, calls, listeners):
        collection.clear()


class FakeNetwork(NetworkDriver):
    slug = "fake"
    label = "Fake (in memory)"
    settings = (Setting("file", "file", help="Where several processes share it; empty: in memory.", required=False),)
    can_detach = True

    def read(self, port: SwitchPort) -> int | None:
        with self._world() as world:
            self._note(port, "read")
            if self._fault(world, port, reading=True):
                raise NetworkError(f"{port}: does not answer")
            found: int | None = world["vlans"].get(str(port))
            return found

    def attach(self, port: SwitchPort, vlan: int) -> None:
        self._set(port, vlan, f"attach {vlan}")

    def detach(self, port: SwitchPort) -> None:
        self._set(port, None, "detach")

    def _set(self, port: SwitchPort, vlan: int | None, what: str) -> None:
        with self._world() as world:
            self._note(port, what)
            fault = self._fault(world, port, reading=False)
            if fault == "refuses":
                raise NetworkRefused(f"{port}: the switch refuses")
            if fault == "fails":
                raise NetworkError(f"{port}: the switch did nothing")
            if fault == "is slow":
                time.sleep(SLOW_SECONDS)
            if fault != "lies":
                world["vlans"][str(port)] = vlan
            if fault == "fails late":
                raise NetworkError(f"{port}: the switch fell silent")

    def _note(self, port: SwitchPort, what: str) -> None:
        calls.append((str(port), what))
        for listener in list(listeners):
            listener(str(port), what)

    def _fault(self, world: dict[str, Any], port: SwitchPort, *, reading: bool) -> str:
        told: list[str] = world["faults"].get(str(port), [])
        if told and (told[0] == "cannot be read") == reading:
            return told.pop(0)
        return ""

    @contextmanager
    def _world(self) -> Iterator[dict[str, Any]]:
        """What there is: this process's, or that of the file, locked, and written back however it ends."""
        path = self.setting("file")
        if not path:
            yield {"vlans": vlans, "faults": faults}
            return
        with Path(path).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            world = {"vlans": {}, "faults": {}} | json.loads(file.read() or "{}")
            try:
                yield world
            finally:
                file.truncate(0)
                file.write(json.dumps(world))
