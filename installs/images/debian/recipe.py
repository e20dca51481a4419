"""What the image debian-12 holds: a server's Debian, small, with every driver that Debian has."""

import hashlib
from pathlib import Path

RELEASE = "bookworm"
IMAGE_NAME = "debian-12"
MIN_MEMORY_MIB = 512  # its initrd holds the drivers of all storage and networks
SWAP_MIB = 256

# apt itself brings the Essential ones. Everything else is named: recommended packages stay out.
PACKAGES = (
    "apt adduser busybox ca-certificates curl dbus debian-archive-keyring dmidecode dosfstools e2fsprogs efibootmgr "
    "ethtool fdisk grub-efi-amd64-bin grub-pc-bin grub2-common init initramfs-tools iproute2 iputils-ping kmod less "
    "libpam-systemd linux-image-amd64 login mount nano netbase openssh-server passwd pciutils procps sudo "
    "systemd-resolved systemd-sysv systemd-timesyncd tzdata udev usr-is-merged vim-tiny zstd"
).split()

# Documents, manuals and translations stay out, as in Debian's own images for containers; licences stay. So do drivers
# of what servers do not have: together a quarter of the kernel's size. `apt-get install --reinstall` of the kernel's
# package brings them, as does Debian's next kernel.
_DRIVERS = (
    "sound drivers/media drivers/net/wireless drivers/staging drivers/comedi drivers/iio drivers/bluetooth "
    "drivers/gpu/drm/amd drivers/gpu/drm/i915 drivers/gpu/drm/nouveau drivers/gpu/drm/radeon"
).split()
LEFT_OUT = (
    *(f"/usr/share/{name}/*" for name in "doc locale info man lintian zoneinfo/right zoneinfo/posix".split()),
    *(f"/lib/modules/*/kernel/{name}/*" for name in _DRIVERS),
)
KEPT = ("/usr/share/doc/*/copyright",)

FILES = Path(__file__).parent / "files"


def version() -> str:
    """Changes with whatever decides what the image holds, but for the versions of its packages."""
    digest = hashlib.sha256()
    for path in sorted([*FILES.iterdir(), Path(__file__)]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
