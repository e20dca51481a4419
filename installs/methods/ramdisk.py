"""Steps that every method shares which starts by booting the ramdisk from the network."""

from datetime import timedelta

from installs import witness
from installs.methods.base import Again, Next, Outcome, StepFailed, WaitFor, Work
from installs.methods.port_steps import PortSteps
from installs.models import BOOT_FLAG_LOST
from machines.models import BootOrder
from machines.power.base import BootDevice, NeedsOperator, Power

SWITCHING_TAKES = timedelta(seconds=1)
SWITCH_TRIES = 4  # with pauses of 1, 4, 16 and 64 s: a BMC may be slow to tell, but nobody switches for ever
BOOT_MAY_TAKE = timedelta(minutes=10)  # big servers test their memory for minutes
FIRST_BOOT_MAY_TAKE = timedelta(minutes=15)
LOOK_AGAIN = timedelta(seconds=5)
OPERATOR_MAY_TAKE = timedelta(hours=2)


class RamdiskMethod(PortSteps):
    """Switches the machine off, on again from the network, and waits for the ramdisk's first word."""

    def power_off(self, work: Work) -> Outcome:
        if work.power.state() == Power.OFF:
            return Next()
        pause = _next_try(work, "is still on after {} tries to switch it off: look at its BMC, then retry.")
        work.power.off()
        return pause

    def set_boot(self, work: Work) -> Outcome:
        set_network_boot(work, persistent=work.machine.boot_order == BootOrder.NETWORK)
        return Next()

    def power_on(self, work: Work) -> Outcome:
        """What the BMC acknowledged is read back: some say yes while the machine stays off."""
        if work.install.tries and work.power.state() != Power.OFF:
            return Next()
        pause = _next_try(work, "is still off after {} tries to switch it on: look at its power supply, then retry.")
        work.power.on()
        return pause if work.power.state() == Power.OFF else Next()

    def netboot(self, work: Work) -> Outcome:
        by_hand = bool(work.install.operator_task)
        patience = OPERATOR_MAY_TAKE if by_hand else BOOT_MAY_TAKE
        return WaitFor(silence=patience, cap=2 * patience)


class OsMethod(RamdiskMethod):
    """Ends with an OS that calls; should its call be lost, it is known by the sign that its settings hold."""

    last_looks = {"first_boot": "second_witness"}

    def first_boot(self, work: Work) -> Outcome:
        return WaitFor(FIRST_BOOT_MAY_TAKE, cap=FIRST_BOOT_MAY_TAKE)

    def second_witness(self, work: Work) -> Outcome:
        address = witness.look(work.install)
        if not address:
            return Again(LOOK_AGAIN)
        seen = f"The OS of {work.machine.name} answers at {address} with the sign of this install"
        return Next(note=f"{seen}; its own call never came.")


class DiskMethod(OsMethod):
    """Ends with a boot from the disk."""

    def boot_from_disk(self, work: Work) -> Outcome:
        set_disk_boot(work)
        return Next()

    def reset(self, work: Work) -> Outcome:
        restart(work)
        return Next()

    def boots_network(self, received: set[str]) -> bool:
        return not received & {"install", "install_reboot", "installed"}


def set_network_boot(work: Work, *, persistent: bool) -> None:
    """Have the machine start from the network, once or from now on."""
    work.power.boot_from(BootDevice.NETWORK, persistent=persistent)
    _read_back(work, BootDevice.NETWORK)


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


def _next_try(work: Work, words: str) -> Again:
    """Counts a try to switch the machine. Raises StepFailed when there were enough."""
    tries = work.install.tries
    if tries >= SWITCH_TRIES:
        raise StepFailed(f"{work.machine.name} {words.format(tries)}", cause="power")
    work.install.tries += 1
    return Again(SWITCHING_TAKES * 4**tries)


def _read_back(work: Work, wanted: BootDevice) -> None:
    found = work.power.boot_device()
    if found not in (None, wanted):
        words = f"The BMC was told to boot from {wanted} and now says {found}: the firmware may ignore it."
        work.note(words, name=BOOT_FLAG_LOST)


__all__ = [
    "DiskMethod", "NeedsOperator", "OsMethod", "RamdiskMethod", "restart", "set_disk_boot", "set_network_boot",
]  # fmt: skip
