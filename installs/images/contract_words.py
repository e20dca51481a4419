"""What a look into an image found, in words."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

_WORDS = {
    "no-kernel": gettext_lazy("It has no kernel (vmlinuz*) in /boot."),
    "no-etc": gettext_lazy("It has no folder /etc."),
    "no-init": gettext_lazy("It has neither systemd nor another init."),
    "no-initrd": gettext_lazy("Its kernel has no initrd: it boots only where all drivers are built in."),
    "initrd-unreadable": gettext_lazy("Its initrd could not be looked into: nobody knows which disks it finds."),
    "no-modules": gettext_lazy("It has no modules of its kernel: nobody knows what hardware it drives."),
    "no-ext4": gettext_lazy("Neither its kernel nor its initrd has ext4, which its root will be."),
    "no-caller": gettext_lazy("It has neither curl nor wget nor bash: it cannot say that it is up."),
    "no-sshd": gettext_lazy("It has no SSH server: nobody can log in over the network."),
    "host-keys": gettext_lazy("It carries SSH host keys; the installer removes them, each machine makes its own."),
    "machine-id": gettext_lazy("It carries a machine-id; the installer empties it."),
    "no-network": gettext_lazy("It has neither systemd-networkd nor ifupdown: its network is its own affair."),
    "cloud-init": gettext_lazy("It has cloud-init, which may change hostname, keys and network after the installer."),
    "no-os-release": gettext_lazy("It does not say what it is (/etc/os-release)."),
}


def words(code: str) -> str:
    """A sentence for a code of a Report."""
    return str(_WORDS[code]) if code in _WORDS else _("Something unknown: %(code)s.") % {"code": code}
