"""Kernel modules: what each needs, told by its own .modinfo section (no depmod has run over the packages)."""

import lzma
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from installs.ramdisk.contents import Contents
from installs.ramdisk.errors import RamdiskError


@dataclass(frozen=True)
class Info:
    """Names of modules that must come first, of those that should, and of firmware files."""

    depends: frozenset[str]
    soft: frozenset[str]
    firmware: frozenset[str]


class ModuleTree:
    """The folder lib/modules/<release> of a kernel package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_name = {canonical(path.name): path for path in folder.rglob("*.ko*") if path.is_file()}
        if not self.by_name:
            raise RamdiskError(f"The kernel package has no modules in {folder.name}.")

    def closure(self, names: Iterable[str]) -> dict[str, Info]:
        """The named modules and all that they need. Names that this kernel lacks (or has built in) are left out."""
        found: dict[str, Info] = {}
        waiting = [canonical(name) for name in names]
        while waiting:
            name = waiting.pop()
            path = self.by_name.get(name)
            if name in found or path is None:
                continue
            found[name] = info = read_info(path)
            waiting += info.depends | info.soft
        return found

    def chosen(self, contents: Contents) -> dict[str, Info]:
        """What a set carries: its own modules and every one below its folders."""
        below = [self.folder / "kernel" / folder for folder in contents.folders]
        in_folders = [name for name, path in self.by_name.items() if any(path.is_relative_to(top) for top in below)]
        return self.closure([*contents.modules, *in_folders])


def canonical(file_name: str) -> str:
    """The name modprobe knows: virtio-rng.ko.xz is virtio_rng."""
    return re.sub(r"\.ko(\.\w+)?$", "", file_name).replace("-", "_")


def read_info(path: Path) -> Info:
    """What a module's .modinfo says. Raises RamdiskError."""
    return parse_info(read_module(path))


def read_module(path: Path) -> bytes:
    """A module without its compression: Debian 12's have none, its backports' have xz. Raises RamdiskError."""
    content = path.read_bytes()
    try:
        match path.suffix:
            case ".ko":
                return content
            case ".xz":
                return lzma.decompress(content)
    except lzma.LZMAError as problem:
        raise RamdiskError(f"The kernel module {path.name} is damaged: {problem}.") from problem
    raise RamdiskError(f"The kernel module {path.name} is compressed in a way that this version cannot read.")


def parse_info(module: bytes) -> Info:
    """From the bytes of an uncompressed module: strings of the form name=value, each between zero bytes."""

    def values(field: bytes) -> list[str]:
        return [value.decode(errors="replace") for value in re.findall(rb"\0" + field + rb"=([^\0]*)", module)]

    depends = {canonical(name) for value in values(b"depends") for name in value.split(",") if name}
    soft = {canonical(word) for value in values(b"softdep") for word in value.split() if not word.endswith(":")}
    return Info(frozenset(depends), frozenset(soft), frozenset(values(b"firmware")))
