"""Machines without a BMC: a person presses the button."""

from machines.power.base import BootDevice, NeedsOperator, Power, PowerDriver


class ManualPower(PowerDriver):
    slug = "manual"
    label = "By hand (no BMC)"
    can_be_read = False
    needs_address = False

    def state(self) -> Power:
        return Power.UNKNOWN

    def on(self) -> None:
        raise self._asks("switch it on")

    def off(self) -> None:
        raise self._asks("switch it off")

    def soft_off(self) -> None:
        raise self._asks("shut it down")

    def reset(self) -> None:
        raise self._asks("restart it")

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        raise self._asks(f"choose {device} in its boot menu")

    def boot_device(self) -> BootDevice | None:
        return None

    def _asks(self, what: str) -> NeedsOperator:
        return NeedsOperator(f"{self.endpoint.machine} has no BMC: {what} by hand")
