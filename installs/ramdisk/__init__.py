"""The deploy ramdisk, built from Debian packages without root.

`build("lab", data, say)` returns a `Ramdisk`; doing it again with nothing changed is instant.
`latest("lab", data)` is the newest one built, or None.
"""

from installs.ramdisk.builder import build
from installs.ramdisk.errors import RamdiskError
from installs.ramdisk.shelf import Ramdisk, latest

__all__ = ["Ramdisk", "RamdiskError", "build", "latest"]
