"""One practice server's hardware: its files and its QEMU command line."""

import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.needs import OVMF_CODE, OVMF_VARS, program
from lab.profiles import SERVER_ADDRESS, BootOrder, DiskBus, ExtraDisk, Profile, folder, guest_urls, is_free

NIC_PATH = "/machine/peripheral/nic0"
DISK_PATH = "/machine/peripheral/disk0"
DISK_INDEX = 2  # the disk keeps its place; the network goes before or after it
_IMAGE_SECONDS = 30


@dataclass(frozen=True)
class Cable:
    """What a guest is plugged into: QEMU's `-netdev`, whether its NIC brings iPXE along (else the firmware's own PXE
    must find the way), and what to put before QEMU's command so that it runs there."""

    netdev: str
    ipxe_rom: bool
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ports:
    """Where Dodai listens on this host: all that a guest may reach."""

    provision: int
    image: int
    host: str = "127.0.0.1"


def confined_cable(profile: Profile, ports: Ports) -> Cable:
    """QEMU's user-mode network, cut off from everything (`restrict=on`) but the two ports, each brought in by a
    `socat` per connection. One way leads in, to the TCP port with the number of its BMC's. Needs no root. `restrict`
    holds for IPv6 too, which stays on for its router advertisements: iPXE waits 13 s for one."""
    provision_url, _ = guest_urls(ports.provision, ports.image)
    options = ["user", "id=net0", "restrict=on", f"bootfile={provision_url}/boot.ipxe"]
    for port in dict.fromkeys((ports.provision, ports.image)):
        options.append(f"guestfwd=tcp:{SERVER_ADDRESS}:{port}-cmd:{program('socat')} - TCP:{ports.host}:{port}")
    if is_free(profile.bmc_port, socket.SOCK_STREAM):  # QEMU would not start without it
        options.append(f"hostfwd=tcp:{profile.bmc_host}:{profile.bmc_port}-:{profile.bmc_port}")
    return Cable(",".join(options), ipxe_rom=True)


def boot_indexes(first: BootOrder, *, own_firmware: bool) -> dict[str, int]:
    """The bootindex of the NIC and of the disk, by their paths in QEMU.

    OVMF rewrites its boot order at each start from these; with -1 it keeps the order in its own variables, as real
    servers do, and what the installer writes there holds. Only a firmware that boots by its own PXE is left that
    choice: OVMF would otherwise try HTTP boot and IPv6 for minutes between the network and the disk.
    """
    if own_firmware and first == "network":
        return {NIC_PATH: -1, DISK_PATH: -1}
    return {NIC_PATH: DISK_INDEX - 1 if first == "network" else DISK_INDEX + 1, DISK_PATH: DISK_INDEX}


def make_files(profile: Profile, data: Path) -> None:
    """The disks and, for UEFI, the firmware's variables: made once, kept from then on. Raises LabError."""
    home = folder(profile, data)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk = home / "disk.qcow2"
    if not disk.exists():
        new = disk.with_suffix(".new")
        _make_disk(new, profile.disk_gib)
        new.replace(disk)
    for extra in profile.extra_disks:
        path = extra_file(home, extra)
        if not path.exists():
            path.touch(mode=0o600)
            os.truncate(path, extra.size_mib << 20)
    variables = home / "vars.fd"
    if profile.firmware == "uefi" and not variables.exists():
        shutil.copyfile(OVMF_VARS, variables.with_suffix(".new"))
        variables.with_suffix(".new").replace(variables)


def extra_file(home: Path, disk: ExtraDisk) -> Path:
    return home / f"{disk.name}.raw"


def command(
    profile: Profile, data: Path, *, cable: Cable, first: BootOrder, accelerator: str, monitor_fd: int, console_fd: int,
    service_fd: int | None = None,
) -> list[str]:  # fmt: skip
    """The whole command. `setpriv` makes the kernel end QEMU with the thread that started it, whatever happens.

    `service_fd` is the end of a cable into the lab's switch, for a server that has a card there.
    """
    return [
        *cable.prefix,
        *("setpriv", "--pdeathsig", "KILL", "--", program("qemu-system-x86_64") or "qemu-system-x86_64"),
        *("-name", profile.name, "-nodefaults", "-no-user-config", "-display", "none"),
        # Not elevateprivileges=deny: the user-mode network could start no socat then (it calls setsid).
        *("-sandbox", "on,obsolete=deny,resourcecontrol=deny"),
        *_machine(profile, accelerator),
        *("-chardev", f"socket,id=monitor,fd={monitor_fd}", "-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=console,fd={console_fd}", "-serial", "chardev:console"),
        *_firmware(profile, folder(profile, data)),
        *_network_card(profile, cable, first),
        *(_service_card(profile, service_fd) if service_fd is not None else ()),
        *_disks(profile, cable, first, folder(profile, data)),
    ]


def processor(accelerator: str) -> list[str]:
    # Emulated ones one by one: with two, QEMU 7.2 loses an interrupt of the timer now and then, and the kernel stands
    # still until somebody resets the machine (Debian 12's), or falls over a null pointer (Debian 13's).
    usual = min(2, os.cpu_count() or 1) if accelerator != "tcg" else 1
    asked = os.environ.get("DODAI_LAB_PROCESSORS", "")
    count = ("-smp", asked if asked in ("1", "2", "4") else str(usual))
    if accelerator != "tcg":
        return ["-accel", accelerator, "-cpu", "max,la57=off", *count]
    # Five-level page tables only make emulated memory accesses slower. With erms, kernel and libc copy memory by
    # "rep movsb", which is emulated byte by byte: without it unpacking takes a third of the time.
    return ["-accel", "tcg,tb-size=256", "-cpu", "max,la57=off,erms=off", *count]


def _make_disk(path: Path, gib: int) -> None:
    try:
        done = subprocess.run(
            [program("qemu-img") or "qemu-img", "create", "-q", "-f", "qcow2", str(path), f"{gib}G"],
            capture_output=True, text=True, timeout=_IMAGE_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LabError(f"qemu-img could not make {path}: {exc}") from exc
    if done.returncode:
        raise LabError(f"qemu-img could not make {path}: {done.stderr.strip()}")


def _machine(profile: Profile, accelerator: str) -> list[str]:
    return [
        # graphics=off: SeaBIOS, and with it iPXE and GRUB, speak to the serial console as well.
        *("-machine", f"{profile.chipset},graphics=off", *processor(accelerator)),
        *("-m", str(profile.memory_mib), "-rtc", "base=utc"),
        *("-uuid", profile.uuid),
        *("-smbios", f"type=1,manufacturer=Dodai,product=Practice server,serial={profile.serial}"),
        *("-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"),
        *("-boot", "strict=on,menu=off"),
    ]


def _firmware(profile: Profile, home: Path) -> list[str]:
    if profile.firmware == "bios":
        return []
    return [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={_escape(home / 'vars.fd')}"),
        # OVMF would try it for a minute whenever PXE over IPv4 led nowhere.
        *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no"),
    ]


def _network_card(profile: Profile, cable: Cable, first: BootOrder) -> list[str]:
    index = boot_indexes(first, own_firmware=not cable.ipxe_rom)[NIC_PATH]
    card = f"virtio-net-pci,id=nic0,netdev=net0,mac={profile.mac},bootindex={index}"
    return ["-netdev", cable.netdev, "-device", card if cable.ipxe_rom else f"{card},romfile="]


def _service_card(profile: Profile, service_fd: int) -> list[str]:
    """Nothing is booted from it: the provisioning network is the other card's."""
    cable = f"stream,id=net1,server=off,addr.type=fd,addr.str={service_fd}"
    return ["-netdev", cable, "-device", f"virtio-net-pci,id=nic1,netdev=net1,mac={profile.service_mac},romfile="]


def _disks(profile: Profile, cable: Cable, first: BootOrder, home: Path) -> list[str]:
    """In the order in which the kernel finds them. Only the one that the server boots from has a place there."""
    index = boot_indexes(first, own_firmware=not cable.ipxe_rom)[DISK_PATH]
    root = f"serial={profile.disk_serial},bootindex={index}"
    disks = [
        _Disk(disk.bus, disk.name, "raw", extra_file(home, disk), f"serial={disk.serial}")
        for disk in profile.extra_disks
    ]
    disks.insert(profile.extra_first, _Disk(profile.disk_bus, "disk", "qcow2", home / "disk.qcow2", root))
    words = ["-device", "qemu-xhci,id=usb"] if any(disk.bus == "usb" for disk in disks) else []
    sata = itertools.count()
    return words + [word for disk in disks for word in disk.words(sata)]


@dataclass(frozen=True)
class _Disk:
    """One disk on QEMU's command line; its device is called <name>0."""

    bus: DiskBus
    name: str
    format: str
    path: Path
    options: str

    def words(self, sata_ports: Iterator[int]) -> list[str]:
        backend = f"if=none,id={self.name},format={self.format},cache=unsafe,discard=unmap,file={_escape(self.path)}"
        device = f"{self._device(sata_ports)},id={self.name}0,drive={self.name},{self.options}"
        return ["-drive", backend, "-device", device]

    def _device(self, sata_ports: Iterator[int]) -> str:
        match self.bus:
            case "virtio":
                return "virtio-blk-pci"
            case "ahci":
                return f"ide-hd,bus=ide.{next(sata_ports)}"
            case "usb":
                return "usb-storage,bus=usb.0,removable=on"
        return "nvme"


def _escape(path: Path) -> str:
    """QEMU's options end at a comma; two stand for one."""
    return str(path).replace(",", ",,")
