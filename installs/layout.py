"""The partitions that the method file-tree makes, and whether they fit."""

from django.utils.translation import gettext as _

from installs.models import Image
from machines.models import Disk

MIB = 1 << 20
BOOT_PARTITIONS_BYTES = 66 * MIB  # BIOS boot, ESP and alignment
FREE_SHARE = 1.05  # a file system needs some room of its own


def layout_of(image: Image) -> dict[str, int]:
    """Sizes in bytes as dodai-compute had them; 0 is none, for the root what the others leave."""
    return {part: getattr(image, f"{part}_mib") * MIB for part in ("root", "swap", "ephemeral", "kdump")}


def problems(image: Image, disk: Disk | None) -> list[str]:
    """Why the image cannot lie on the disk, in words of the reader's language."""
    if disk is None or disk.size_bytes is None:
        return []
    found, sizes = [], layout_of(image)
    least_root = sizes["root"] or int(image.unpacked_bytes * FREE_SHARE)
    needed = least_root + sizes["swap"] + sizes["ephemeral"] + sizes["kdump"] + BOOT_PARTITIONS_BYTES
    if needed > disk.size_bytes:
        found.append(
            _("%(image)s needs %(needed)s MiB with its partitions, the disk %(disk)s has %(found)s.")
            % {"image": image.name, "needed": needed // MIB, "disk": disk, "found": disk.size_bytes // MIB}
        )
    if sizes["root"] and sizes["root"] < image.unpacked_bytes * FREE_SHARE:
        found.append(
            _("The root of %(image)s is %(root)s MiB, but its files are %(files)s.")
            % {"image": image.name, "root": sizes["root"] // MIB, "files": image.unpacked_bytes // MIB}
        )
    return found
