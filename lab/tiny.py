"""The image `tiny`: a root file system of busybox, an SSH server and Debian's kernel that boots in seconds."""

import hashlib
import io
import json
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from installs import ramdisk
from installs.ramdisk.archive import Entry, Tree
from installs.ramdisk.builder import compressed, fetch, write_compressed
from installs.ramdisk.contents import SETS
from installs.ramdisk.modules import ModuleTree
from installs.ramdisk.stage import LIBRARY_FOLDERS, LOADER, Stage

FILES = Path(__file__).parent / "tiny_files"
BLOCK_BYTES = 4096  # what the smallest file takes in ext4
TOOLS = ("busybox-static", "dropbear-bin", "kmod", "zstd")
NEEDED_TOOLS = (
    "busybox-static",
    "dropbear-bin",
    "kmod",
    "libc6",
    "libcrypt1",
    "libgcc-s1",
    "libgmp10",
    "libkmod2",
    "liblz4-1",
    "liblzma5",
    "libssl3",
    "libstdc++6",
    "libtomcrypt1",
    "libtommath1",
    "libzstd1",
    "zlib1g",
    "zstd",
)
STORAGE_MODULES = "ahci ata_generic ata_piix crc32c_generic ext4 nvme sd_mod virtio_blk virtio_pci virtio_scsi".split()
OTHER_MODULES = "af_packet button e1000 e1000e evdev virtio_net virtio_pci virtio_rng".split()

Say = Callable[[str], None]


@dataclass(frozen=True)
class TinyImage:
    """A .tar.zst of the root file system; unpacked_bytes is what it takes on a disk."""

    path: Path
    unpacked_bytes: int


def build(data: Path, say: Say) -> TinyImage:
    """The image for the newest lab ramdisk's kernel, in data/lab/images. Raises ramdisk.RamdiskError."""
    base = ramdisk.latest("lab", data) or ramdisk.build("lab", data, say)
    folder = data / "lab" / "images"
    path = folder / f"tiny-{_version(base)}.tar.zst"
    notes = path.with_suffix(".json")
    if path.exists() and notes.exists():
        return TinyImage(path, json.loads(notes.read_text())["unpacked_bytes"])
    say("building the image tiny")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tiny-", dir=folder) as work:
        stage = _stage(Path(work), base, data, say)
        tree = _root(stage, base, Path(work))
        unpacked_bytes = sum(_bytes_on_disk(entry) for entry in tree.entries.values())
        new = Path(work) / path.name
        _write_tar(stage, tree, new)
        notes.write_text(json.dumps({"unpacked_bytes": unpacked_bytes}))
        new.rename(path)
    say(f"image tiny: {path.stat().st_size / 1e6:.1f} MB, {unpacked_bytes / 1e6:.1f} MB unpacked")
    return TinyImage(path, unpacked_bytes)


def _version(base: ramdisk.Ramdisk) -> str:
    digest = hashlib.sha256(base.version.encode())
    for path in (Path(__file__), *sorted(FILES.iterdir())):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _stage(work: Path, base: ramdisk.Ramdisk, data: Path, say: Say) -> Stage:
    """busybox, the tools that build it, and of the kernel's many modules only those wanted."""
    stage = Stage(work / "stage")
    tools = fetch(TOOLS, data, say, like=base)
    stage.unpack(file for file in tools if file.name.partition("_")[0] in NEEDED_TOOLS)
    wanted = set(base.modules) | set(OTHER_MODULES)
    files = fetch([base.kernel_package], data, say, like=base)
    kernel = next(file for file in files if file.name.startswith(f"{base.kernel_package}_"))
    stage.unpack_kernel(kernel, modules=wanted)
    return stage


def _root(stage: Stage, base: ramdisk.Ramdisk, work: Path) -> Tree:
    tree = Tree()
    for name in ("dev", "mnt", "proc", "run", "sys", "etc/dodai", "boot", "var/log", "usr/bin", "usr/sbin"):
        tree.folder(name)
    tree.folder("root", mode=0o700)
    tree.folder("tmp", mode=0o1777)
    _busybox(stage, tree)
    _ssh_server(stage, tree)
    tree.link("sbin", "bin")
    tree.file("etc/inittab", FILES / "inittab")
    tree.program("etc/start", FILES / "start")
    tree.program("etc/dhcp", FILES / "dhcp")
    tree.program("etc/acpi/PWRF/00000080", b"#!/bin/sh\nexec /bin/poweroff\n")
    tree.file("etc/passwd", b"root:*:0:0:root:/root:/bin/sh\n")
    tree.file("etc/group", b"root:x:0:\n")
    tree.file("etc/hostname", b"tiny\n")
    tree.file("etc/os-release", b'ID=tiny\nNAME=tiny\nPRETTY_NAME="tiny, the practice system of Dodai"\n')
    _modules(stage, tree, OTHER_MODULES, work / "root-modules")
    tree.file("boot/vmlinuz", base.kernel)
    tree.file("boot/initrd", _initrd(stage, work))
    return tree


def _initrd(stage: Stage, work: Path) -> Path:
    tree = Tree()
    for name in ("dev", "new", "proc", "sys"):
        tree.folder(name)
    _busybox(stage, tree)
    tree.program("init", FILES / "initrd-init")
    _modules(stage, tree, STORAGE_MODULES, work / "initrd-modules")
    write_compressed(stage, tree, work / "initrd")
    return work / "initrd"


def _busybox(stage: Stage, tree: Tree) -> None:
    tree.program("bin/busybox", stage.program("busybox"))
    for applet in stage.run("busybox", "--list").split():
        if applet != "busybox":
            tree.link(f"bin/{applet}", "busybox")


def _ssh_server(stage: Stage, tree: Tree) -> None:
    """Dropbear: lets in who has a key of /root/.ssh/authorized_keys, and nobody by a password."""
    server, maker_of_keys = stage.program("dropbear"), stage.program("dropbearkey")
    tree.program("usr/sbin/dropbear", server)
    tree.program("usr/bin/dropbearkey", maker_of_keys)
    for name, path in stage.libraries([server, maker_of_keys]).items():
        tree.program(f"{LIBRARY_FOLDERS[0]}/{name}", path)
    tree.program(LOADER, (stage.folder / LOADER).resolve())
    tree.folder("etc/dropbear", mode=0o700)
    tree.folder("etc/ssh")


def _modules(stage: Stage, tree: Tree, names: Iterable[str], work: Path) -> None:
    release = stage.kernel_release()
    modules = ModuleTree(stage.folder / "lib/modules" / release)
    home = stage.depmod(modules, modules.closure(names), work)
    for path in sorted(home.rglob("*")):
        if path.is_file() and (path.suffix == ".ko" or path.name in ("modules.alias", "modules.dep")):
            tree.file(f"lib/modules/{release}/{path.relative_to(home)}", path)


def _write_tar(stage: Stage, tree: Tree, target: Path) -> None:
    """As root's files, whoever builds it."""
    with compressed(stage, target) as sink, tarfile.open(fileobj=sink, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for name, entry in sorted(tree.entries.items()):
            data = _content(entry)
            info = tarfile.TarInfo(f"./{name}")
            info.mode = stat.S_IMODE(entry.mode)
            if stat.S_ISDIR(entry.mode):
                info.type = tarfile.DIRTYPE
            elif stat.S_ISLNK(entry.mode):
                info.type, info.linkname = tarfile.SYMTYPE, data.decode()
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)


def _content(entry: Entry) -> bytes:
    return entry.source.read_bytes() if isinstance(entry.source, Path) else entry.source


def _bytes_on_disk(entry: Entry) -> int:
    if stat.S_ISLNK(entry.mode):
        return 0  # short targets live in the inode
    size = entry.source.stat().st_size if isinstance(entry.source, Path) else len(entry.source)
    return max(1, -(-size // BLOCK_BYTES)) * BLOCK_BYTES


# SETS is what the wanted modules are drawn from; a name missing there would be missing here without a word.
assert set(STORAGE_MODULES) <= set(SETS["lab"].modules)
