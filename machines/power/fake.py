"""Machines that exist only in this process: for tests, and as the example of a driver."""

from collections.abc import Callable

from machines.power.base import BootDevice, Power, PowerDriver, PowerRefused

states: dict[str, Power] = {}
devices: dict[str, BootDevice] = {}
calls: list[tuple[str, str]] = []
"""(machine, what was asked), in order."""
listeners: list[Callable[[str, str], None]] = []
"""Called with the machine's name and the command, after it took effect; may raise PowerError."""


def forget() -> None:
    for collection in (states, devices, calls, listeners):
        collection.clear()


class FakePower(PowerDriver):
    slug = "fake"
    label = "Fake (in memory)"
    needs_address = False

    def state(self) -> Power:
        self._done("state")
        return states.get(self.endpoint.machine, Power.OFF)

    def on(self) -> None:
        states[self.endpoint.machine] = Power.ON
        self._done("on")

    def off(self) -> None:
        states[self.endpoint.machine] = Power.OFF
        self._done("off")

    def soft_off(self) -> None:
        states[self.endpoint.machine] = Power.OFF
        self._done("soft off")

    def reset(self) -> None:
        if states.get(self.endpoint.machine) != Power.ON:
            raise PowerRefused(f"{self.endpoint.machine} is off, there is nothing to reset")
        self._done("reset")

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        devices[self.endpoint.machine] = device
        self._done(f"boot from {device}{' for ever' if persistent else ''}")

    def boot_device(self) -> BootDevice | None:
        return devices.get(self.endpoint.machine)

    def _done(self, what: str) -> None:
        calls.append((self.endpoint.machine, what))
        for listener in list(listeners):
            listener(self.endpoint.machine, what)
