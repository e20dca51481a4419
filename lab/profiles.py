"""What each practice server is: its hardware, its names, its BMC's address.

The same data folder gives the same servers every time: names, MACs, serials, BMC ports and passwords are chosen once
and kept in `lab/fleet.json` (0600), so that two data folders can run side by side and an inventory stays true.
"""

import fcntl
import hashlib
import json
import os
import random
import secrets
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Firmware = Literal["bios", "uefi"]
DiskBus = Literal["virtio", "nvme", "ahci", "usb"]
BootOrder = Literal["disk", "network"]

MEMORY_MIB = 768  # Debian's initrd and its packed image fit in it; what a guest never touches costs nothing
DISK_GIB = 4
BMC_HOST = "127.0.0.1"
BMC_USER = "admin"
BMC_PORTS = range(20_000, 30_000)  # above the privileged ports, below Linux's ephemeral ones (32768 and up)
SERVER_ADDRESS = "10.0.2.100"  # where every guest finds Dodai, whichever of the two networks it is on


@dataclass(frozen=True)
class ExtraDisk:
    """A disk beside the one that the server boots from. Its file, <name>.raw in the server's folder, holds its bytes
    as they are; who puts one there before the first start chooses them. Serial numbers may be there twice."""

    name: str
    serial: str
    bus: DiskBus
    size_mib: int = 64


@dataclass(frozen=True)
class Profile:
    """One practice server. `boot_order` is what its firmware does when the BMC asks for nothing else; `native_pxe`
    says that its firmware's own PXE is wanted instead of QEMU's iPXE ROM (the running lab's status says if it got it).
    """

    name: str
    firmware: Firmware
    mac: str
    serial: str
    uuid: str
    disk_serial: str
    disk_bus: DiskBus
    bmc_port: int
    bmc_password: str = field(repr=False)
    boot_order: BootOrder = "disk"
    native_pxe: bool = False
    disk_gib: int = DISK_GIB
    memory_mib: int = MEMORY_MIB
    bmc_host: str = BMC_HOST
    bmc_user: str = BMC_USER
    extra_disks: tuple[ExtraDisk, ...] = ()
    extra_first: int = 0
    """How many of them stand before the disk that it boots from, and so get the earlier names from the kernel."""
    service_mac: str = ""
    """Of a second card, in the lab's switch (lab/switch.py); "" where the server has none."""

    @property
    def chipset(self) -> Literal["pc", "q35"]:
        """QEMU's machine type: the AHCI controller and the PCIe that UEFI likes come with q35."""
        buses = {self.disk_bus, *(disk.bus for disk in self.extra_disks)}
        return "q35" if self.firmware == "uefi" or "ahci" in buses else "pc"


@dataclass(frozen=True)
class _Kind:
    firmware: Firmware
    disk_bus: DiskBus
    boot_order: BootOrder = "disk"
    native_pxe: bool = False


_KINDS = (
    _Kind("bios", "virtio"),
    _Kind("uefi", "nvme"),
    _Kind("uefi", "virtio", boot_order="network", native_pxe=True),
    _Kind("bios", "ahci"),
    _Kind("uefi", "ahci"),
)


def profiles(count: int, data: Path) -> list[Profile]:
    """The first `count` practice servers of the data folder, the same at every call."""
    with _fleet(data) as fleet:
        return [_profile(number, fleet) for number in range(1, count + 1)]


def give_disks(name: str, data: Path, disks: Sequence[ExtraDisk], *, extra_first: int = 0) -> None:
    """Put these disks, and no others, beside the one that the server has; a lab that starts from now on has them so."""
    with _fleet(data) as fleet:
        kept = fleet["guests"].setdefault(name, {})
        kept["extra_disks"], kept["extra_first"] = [asdict(disk) for disk in disks], extra_first


def give_service_card(name: str, data: Path) -> None:
    """Put a second card into the server, in the lab's switch; a lab that starts from now on has it so."""
    with _fleet(data) as fleet:
        fleet["guests"].setdefault(name, {})["service_card"] = True


def folder(profile: Profile, data: Path) -> Path:
    """Where the server keeps disk.qcow2, console.log, qemu.log, vars.fd (UEFI) and bmc.json."""
    return lab_folder(data) / profile.name


def lab_folder(data: Path) -> Path:
    return data / "lab"


def guest_urls(provision_port: int, image_port: int) -> tuple[str, str]:
    """The provisioning and image URLs as the guest sees them: the same for both of the lab's networks."""
    return f"http://{SERVER_ADDRESS}:{provision_port}", f"http://{SERVER_ADDRESS}:{image_port}"


def _profile(number: int, fleet: dict[str, Any]) -> Profile:
    name, kind = f"practice-{number}", _KINDS[(number - 1) % len(_KINDS)]
    kept = fleet["guests"].setdefault(name, {})
    if "bmc_port" not in kept:
        kept.update(bmc_port=_free_port(fleet), bmc_password=secrets.token_hex(8))  # IPMI allows at most 20 bytes
    digest = hashlib.sha256(f"{fleet['seed']} {name}".encode()).hexdigest()
    return Profile(
        name=name,
        firmware=kind.firmware,
        mac=_mac(digest[:6]),
        serial=f"LAB-{number}-{digest[6:12].upper()}",
        uuid=str(uuid.uuid5(uuid.UUID(fleet["seed"]), name)),
        disk_serial=f"LABDISK-{number}-{digest[12:18].upper()}",  # virtio-blk shows the first 20 characters only
        disk_bus=kind.disk_bus,
        bmc_port=kept["bmc_port"],
        bmc_password=kept["bmc_password"],
        boot_order=kind.boot_order,
        native_pxe=kind.native_pxe,
        extra_disks=tuple(ExtraDisk(**disk) for disk in kept.get("extra_disks", ())),
        extra_first=kept.get("extra_first", 0),
        service_mac=_mac(digest[18:24]) if kept.get("service_card") else "",
    )


def _mac(digits: str) -> str:
    """From six hexadecimal digits, with QEMU's prefix."""
    return "52:54:00:" + ":".join(digits[i : i + 2] for i in (0, 2, 4))


def _free_port(fleet: dict[str, Any]) -> int:
    """A port that nobody uses now, by UDP or TCP, and no other server of this folder was given."""
    given = {kept.get("bmc_port") for kept in fleet["guests"].values()}
    for port in random.sample(BMC_PORTS, 200):  # at random: two folders that start at once do not collide
        if port not in given and is_free(port, socket.SOCK_DGRAM) and is_free(port, socket.SOCK_STREAM):
            return port
    raise OSError(f"no free port for a practice BMC between {BMC_PORTS.start} and {BMC_PORTS.stop - 1}")


def is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((BMC_HOST, port))
        except OSError:
            return False
    return True


@contextmanager
def _fleet(data: Path) -> Iterator[dict[str, Any]]:
    """The kept choices, locked against another process that makes them at the same moment; written if changed."""
    lab_folder(data).mkdir(mode=0o700, parents=True, exist_ok=True)
    path = lab_folder(data) / "fleet.json"
    with (lab_folder(data) / "fleet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_text() if path.exists() else ""
        fleet = json.loads(before) if before else {"seed": str(uuid.uuid4()), "guests": {}}
        yield fleet
        after = json.dumps(fleet, indent=1)
        if after != before:
            _write_private(path, after)


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
