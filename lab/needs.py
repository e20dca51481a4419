"""What the lab needs from Debian."""

import os
import shutil
from pathlib import Path

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
NIC_ROM = Path("/usr/lib/ipxe/qemu/efi-virtio.rom")
IPXE_FOLDER = Path("/usr/lib/ipxe")
TUN_DEVICE = Path("/dev/net/tun")

_SBIN = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def program(name: str) -> str | None:
    """The path of a program, also where a plain user's PATH leaves out /usr/sbin."""
    return shutil.which(name, path=_SBIN)


def missing() -> list[str]:
    """Debian packages without which no practice server starts; for root also those of the lab's own network."""
    return [*_missing_for_guests(), *(missing_for_namespace() if os.geteuid() == 0 else [])]


def _missing_for_guests() -> list[str]:
    present = {
        "qemu-system-x86": program("qemu-system-x86_64"),
        "qemu-utils": program("qemu-img"),
        "ovmf": OVMF_CODE.exists() and OVMF_VARS.exists(),
        "ipxe-qemu": NIC_ROM.exists(),
        "socat": program("socat"),
    }
    return [package for package, found in present.items() if not found]


def missing_for_namespace() -> list[str]:
    present = {
        "dnsmasq-base": program("dnsmasq"),
        "ipxe": (IPXE_FOLDER / "snponly.efi").exists(),
        "iproute2": program("ip"),
    }
    return [package for package, found in present.items() if not found]
