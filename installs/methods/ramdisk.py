"""Steps that every method shares which starts by booting the ramdisk from the network."""

from datetime import timedelta

from installs.methods.base import Again, InstallMethod, Next, Outcome, WaitFor, Work
from machines.models import BootOrder
from machines.power.base import BootDevice, NeedsOperator, Power

OFF_TAKES = timedelta(seconds=1)
BOOT_MAY_TAKE = timedelta(minutes=10)  # big servers test their memory for minutes
OPERATOR_MAY_TAKE = timedelta(hours=2)


class RamdiskMethod(InstallMethod):
    """Switches the machine off, on again from the network, and waits for the ramdisk's first word."""

    def power_off(self, work: Work) -> Outcome:
        if work.power.state() == Power.OFF:
            return Next()
        work.power.off()
        return Again(OFF_TAKES)

    def set_boot(self, work: Work) -> Outcome:
        persistent = work.machine.boot_order == BootOrder.NETWORK
        work.power.boot_from(BootDevice.NETWORK, persistent=persistent)
        _read_back(work, BootDevice.NETWORK)
        return Next()

    def power_on(self, work: Work) -> Outcome:
        work.power.on()
        return Next()

    def netboot(self, work: Work) -> Outcome:
        by_hand = bool(work.install.operator_task)
        patience = OPERATOR_MAY_TAKE if by_hand else BOOT_MAY_TAKE
        return WaitFor(silence=patience, cap=2 * patience)


def set_disk_boot(work: Work) -> None:
    """Have the machine start from its disk, or, by its boot order, from the network which sends it there."""
    device = BootDevice.NETWORK if work.machine.boot_order == BootOrder.NETWORK else BootDevice.DISK
    work.power.boot_from(device, persistent=True)
    _read_back(work, device)


def restart(work: Work) -> None:
    """Reset a machine, or start it when it went off meanwhile."""
    if work.power.state() == Power.OFF:
        work.power.on()
    else:
        work.power.reset()


def _read_back(work: Work, wanted: BootDevice) -> None:
    found = work.power.boot_device()
    if found not in (None, wanted):
        work.note(f"The BMC was told to boot from {wanted} and now says {found}: the firmware may ignore it.")


__all__ = ["NeedsOperator", "RamdiskMethod", "restart", "set_disk_boot"]
