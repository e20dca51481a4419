"""A network of its own with real DHCP servers, where virtual machines boot by their firmware's own PXE. Needs root."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab import needs
from lab.namespace import CLONE_NEWNET

ROOT = Path(__file__).parent.parent
SERVER, OTHER_SERVER, NETWORK, PORT = "10.9.0.1", "10.9.0.254", "10.9.0.0/24", 8001
URL = f"http://{SERVER}:{PORT}"
IPV4, TFTP_PORT = b"\x08\x00", 69
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
EFI_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
IPXE_OPTIONS = {175: 224, 77: 225}
"""By these iPXE tells itself apart (its own, user class); what they become means nothing to anybody."""


@dataclass
class Network:
    """A bridge in a network namespace that this process holds."""

    folder: Path
    holder: "subprocess.Popen[bytes]"
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--", *command]

    def run(self, line: str) -> None:
        subprocess.run(self.inside(*line.split()), check=True, capture_output=True, timeout=60)

    def start(self, *command: str, log: str, environment: dict[str, str] | None = None) -> None:
        output = (self.folder / f"{log}.log").open("wb")
        words = self.inside("setpriv", "--pdeathsig", "KILL", "--", *command)
        self.started.append(
            subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT,
                env=os.environ | (environment or {}),
            )
        )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def serve_dhcp(self, lines: str, *, log: str, inside_of: "Network | None" = None) -> None:
        """A dnsmasq with exactly these lines; what is said on its command line is where it keeps its own files."""
        config = self.folder / f"{log}.conf"
        config.write_text(lines)
        (inside_of or self).start(
            str(needs.program("dnsmasq")), "--keep-in-foreground", f"--conf-file={config}", "--pid-file=",
            f"--dhcp-leasefile={self.folder / log}.leases", "--user=root", "--log-facility=-", "--log-dhcp", log=log,
        )  # fmt: skip

    def advertise(self) -> None:
        """Router advertisements that route nothing: iPXE waits for one, 13 s at a time."""
        self.run("ip address add fd00:d0da:1ab::1/64 dev br0 nodad")
        lines = "port=0\nenable-ra\ndhcp-range=fd00:d0da:1ab::,ra-only\nra-param=br0,10,0\n"
        self.serve_dhcp(lines, log="routes")

    def listen(self, port: int) -> socket.socket:
        """A listening socket in here: it belongs to the namespace that it was made in, whoever uses it."""

        def make() -> socket.socket:
            with open(f"/proc/{self.holder.pid}/ns/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "entering a network namespace")
            return socket.create_server((SERVER, port))

        with ThreadPoolExecutor(max_workers=1) as pool:  # a namespace is a property of the thread that entered it
            return pool.submit(make).result()

    def add_other_server(self) -> "Network":
        """Another computer on the bridge, for a DHCP server that is not ours."""
        other = Network(self.folder, _hold())
        self.started.append(other.holder)
        self.run("ip link add to-other type veth peer name eth0")
        self.run("ip link set to-other master br0 up")
        self.run(f"ip link set eth0 netns {other.holder.pid}")
        other.run(f"ip address add {OTHER_SERVER}/24 dev eth0")
        other.run("ip link set eth0 up")
        other.started = self.started
        return other

    def add_tap(self, name: str) -> None:
        self.run(f"ip tuntap add {name} mode tap")
        self.run(f"ip link set {name} master br0 up")

    def boot(self, firmware: str, mac: str, *, disk: str = "") -> None:
        """A machine that boots by PXE, OVMF's own or QEMU's ROM passed off as a network card's, and then from `disk`
        (QEMU's words for a drive), if it has one."""
        tap = f"tap-{firmware}"
        self.add_tap(tap)
        cable, card = f"tap,id=net0,ifname={tap},script=no,downscript=no", "virtio-net-pci,netdev=net0,bootindex=1"
        machine = ["-machine", "pc,graphics=off"]
        if firmware == "uefi":
            card, variables = "virtio-net-pci,netdev=net0,addr=2,romfile=", self.folder / "variables.fd"
            variables.write_bytes(network_first(needs.OVMF_VARS.read_bytes(), mac))
            machine = [
                "-machine", "q35,graphics=off", "-drive", f"if=pflash,format=raw,readonly=on,file={needs.OVMF_CODE}",
                "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no",
                "-drive", f"if=pflash,format=raw,file={variables}",
            ]  # fmt: skip
        else:
            path = self.folder / "bios.socket"
            self.start(sys.executable, "-m", "tests.boot_network", tap, str(path), log="disguise")
            wait_for(path.exists, "the disguise")
            cable = f"stream,id=net0,server=off,addr.type=unix,addr.path={path}"
        self.start(
            str(needs.program("qemu-system-x86_64")), "-nodefaults", "-no-user-config", "-display", "none",
            "-accel", "tcg,tb-size=128", "-cpu", "max,la57=off", "-m", "256", "-boot", "strict=on", *machine,
            "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random",
            "-netdev", cable, "-device", f"{card},mac={mac}", *_drive(disk, firmware),
            "-serial", f"file:{self.folder}/{firmware}.console",
            log=firmware,
        )  # fmt: skip


@contextlib.contextmanager
def network(folder: Path) -> Iterator[Network]:
    folder.mkdir(exist_ok=True)
    found = Network(folder, _hold())
    try:
        for line in (
            "ip link set lo up", "ip link add br0 type bridge stp_state 0 forward_delay 0",
            f"ip address add {SERVER}/24 dev br0", "ip link set br0 up",
        ):  # fmt: skip
            found.run(line)
        yield found
    finally:
        for process in reversed([found.holder, *found.started]):
            process.kill()
            process.wait(timeout=10)


def _drive(words: str, firmware: str) -> list[str]:
    place = ",bootindex=2" if firmware == "bios" else ""  # OVMF keeps the order in its variables
    return ["-drive", f"if=none,id=disk,{words}", "-device", f"virtio-blk-pci,drive=disk{place}"] if words else []


def network_first(variables: bytes, mac: str) -> bytes:
    """OVMF's empty variables with a boot order: PXE of the card in PCI slot 2; all else that it finds comes after.

    Told by `bootindex`, OVMF tries that card's HTTP boot and IPv6 for minutes before it goes on to the disk.
    """
    card = bytes.fromhex(mac.replace(":", "")).ljust(32, b"\0") + b"\1"
    path = (  # UEFI 2.10, 10.3: PciRoot(0)/Pci(2,0)/MAC/IPv4, each with type, subtype and length
        bytes.fromhex("02010c00 d041030a 00000000 01010600 0002 030b2500") + card
        + bytes.fromhex("030c1b00") + bytes(23) + bytes.fromhex("7fff0400")
    )  # fmt: skip
    option = struct.pack("<IH", 1, len(path)) + "PXE\0".encode("utf-16-le") + path
    start = int.from_bytes(variables[48:50], "little") + 28  # the header of the volume, and that of the store in it
    added = _variable("Boot0000", option)
    added += _variable("BootOrder", b"\0\0")
    return variables[:start] + added + variables[start + len(added) :]


def _variable(name: str, value: bytes) -> bytes:
    """A variable as EDK2 keeps it (MdeModulePkg/Include/Guid/VariableFormat.h): there for boot services and the OS."""
    label = f"{name}\0".encode("utf-16-le")
    head = struct.pack("<HBBIQ16sIII", 0x55AA, 0x3F, 0, 7, 0, b"", 0, len(label), len(value))
    whole = head + EFI_GLOBAL + label + value
    return whole + b"\xff" * (-len(whole) % 4)


def _hold() -> "subprocess.Popen[bytes]":
    """A process whose network namespace lives as long as it does, or this one."""
    holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "3600"])
    ours = os.readlink("/proc/self/ns/net")
    wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != ours, "a network namespace")
    return holder


def wait_for(is_there, what: str) -> None:
    end = time.monotonic() + 60
    while not is_there():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


def disguise(tap: str, path: str) -> None:
    """Carries frames between a QEMU and a tap, and hides from DHCP servers that the machine's ROM is iPXE.

    QEMU's ROM for BIOS always is iPXE, and would be sent straight to HTTP. Until it has fetched something by TFTP, as
    network cards of real servers must, the two options by which iPXE is known get numbers that mean nothing.
    """
    card = _open_tap(tap)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        cable = listening.accept()[0]
    threading.Thread(target=_to_guest, args=(card, cable), daemon=True).start()
    is_hiding = True
    with cable.makefile("rb") as frames:
        while size := frames.read(4):
            frame = frames.read(int.from_bytes(size, "big"))
            is_hiding = is_hiding and not fetches(frame)
            os.write(card, hide(frame) if is_hiding else frame)


def _to_guest(card: int, cable: socket.socket) -> None:
    while True:
        frame = os.read(card, 65536)
        cable.sendall(len(frame).to_bytes(4, "big") + frame)


def _open_tap(name: str) -> int:
    card = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(card, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return card


def hide(frame: bytes) -> bytes:
    """A DHCP question from a client without the options by which iPXE is known; any other frame as it is."""
    if frame[12:14] != IPV4 or frame[23] != 17 or frame[36:38] != (67).to_bytes(2, "big"):
        return frame
    changed, position = bytearray(frame), 14 + 20 + 8 + 240
    while position + 1 < len(changed) and changed[position] != 255:
        if changed[position] in IPXE_OPTIONS:
            changed[position] = IPXE_OPTIONS[changed[position]]
        position += 1 if changed[position] == 0 else 2 + changed[position + 1]
    changed[40:42] = b"\0\0"  # no UDP checksum: allowed over IPv4 (RFC 768)
    return bytes(changed)


def fetches(frame: bytes) -> bool:
    """Whether it is a request by TFTP."""
    return frame[12:14] == IPV4 and frame[23] == 17 and frame[36:38] == TFTP_PORT.to_bytes(2, "big")


if __name__ == "__main__":
    disguise(*sys.argv[1:])
