"""A root file system as the image of a whole disk that BIOS and UEFI start: made without root, mounts, loop devices."""

import os
import shutil
import struct
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from installs import ramdisk
from installs.ramdisk.apt import run
from installs.ramdisk.builder import fetch
from installs.ramdisk.stage import Stage
from lab import tiny

MIB, SECTOR = 1 << 20, 512
BIOS_AT, ESP_AT, ROOT_AT = 1 * MIB, 2 * MIB, 10 * MIB
ROOT_MIB = 64
TOOLS = tuple("grub-common grub-pc-bin grub-efi-amd64-bin dosfstools mtools fdisk e2fsprogs zstd util-linux".split())
BASE_TOOLS = TOOLS + tuple(
    "libblkid1 libc6 libcap-ng0 libcom-err2 libdevmapper1.02.1 libefiboot1 libefivar1 libext2fs2 libfdisk1 libfuse3-3 "
    "libfreetype6 libgcc-s1 liblz4-1 liblzma5 libmount1 libncursesw6 libpcre2-8-0 libpng16-16 libreadline8 libselinux1 "
    "libsmartcols1 libss2 libstdc++6 libtinfo6 libudev1 libuuid1 libzstd1 zlib1g libbrotli1".split()
)
GRUB_MODULES = "part_gpt ext2 search search_fs_uuid configfile normal linux serial terminal echo boot".split()
MENU = """set timeout=0
serial --unit=0 --speed=115200
terminal_output console serial
linux {kernel} root=UUID={root} {mode} no_timer_check console=tty0 console=ttyS0,115200n8
initrd {initrd}
boot
"""
EARLY = """search --no-floppy --fs-uuid --set=root {root}
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
TABLE = f"""label: gpt
start={BIOS_AT // SECTOR}, size={MIB // SECTOR}, type=21686148-6449-6E6F-744E-656564454649, name=bios
start={ESP_AT // SECTOR}, size={(ROOT_AT - ESP_AT) // SECTOR}, type=uefi, name=esp
start={ROOT_AT // SECTOR}, size={{sectors}}, type=linux, name=root
"""
# GRUB's boot.img: where its first 440 bytes name the sector of the core, and the jump that only floppies need. At the
# end of the core's first sector: where the rest of it lies, how many sectors, and the segment to load them to.
CORE_SECTOR_AT, JUMP_AT, LIST_AT, SEGMENT = 0x5C, 0x66, 0x1F4, 0x820

Say = Callable[[str], None]


@dataclass(frozen=True)
class System:
    """A packed tree (.tar.zst), how large its file system shall be, and how it is started.

    A tree without /etc/fstab has to be mounted `rw` by the kernel, as nothing does it later.
    """

    archive: Path
    mib: int = ROOT_MIB
    kernel: str = "/boot/vmlinuz"
    initrd: str = "/boot/initrd"
    mode: str = "ro"


def build(data: Path, target: Path, say: Say = lambda text: None, *, system: System | None = None) -> None:
    """Write the raw image, of `tiny` where nothing else is asked for. Raises ramdisk.RamdiskError.

    The owners of the files are kept only if root does it.
    """
    base = ramdisk.latest("lab", data) or ramdisk.build("lab", data, say)
    system, root = system or System(tiny.build(data, say).path), str(uuid.uuid4())
    with tempfile.TemporaryDirectory(prefix=".disk-", dir=target.parent) as folder:
        work = Path(folder)
        stage = Stage(work / "stage")
        files = fetch(TOOLS, data, say, like=base)
        stage.unpack(file for file in files if file.name.partition("_")[0] in BASE_TOOLS)
        with target.open("wb") as disk:
            disk.truncate(ROOT_AT + (system.mib + 1) * MIB)
        _partition(stage, target, system, work)
        _put(target, ROOT_AT, _root(stage, system, root, work))
        _put(target, ESP_AT, _esp(stage, root, work))
        _put_core(stage, target, _core(stage, "i386-pc", [*GRUB_MODULES, "biosdisk"], root, work))


def _partition(stage: Stage, target: Path, system: System, work: Path) -> None:
    (work / "table").write_text(TABLE.format(sectors=system.mib * MIB // SECTOR))
    command = " ".join(map(quote, stage.command("sfdisk", "--quiet", str(target))))
    run(["sh", "-c", f"{command} <{quote(str(work / 'table'))}"], what="sfdisk", timeout_seconds=60)


def _root(stage: Stage, system: System, identity: str, work: Path) -> Path:
    tree, made = work / "tree", work / "root"
    tree.mkdir()
    unpacker = quote(" ".join(map(quote, stage.command("zstd", "-d"))))
    owner = "--numeric-owner" if os.geteuid() == 0 else "--no-same-owner"
    run(["sh", "-c", f"tar -x {owner} -C {quote(str(tree))} -f {quote(str(system.archive))} -I {unpacker}"],
        what="tar", timeout_seconds=300)  # fmt: skip
    (tree / "boot/grub").mkdir(exist_ok=True)
    menu = MENU.format(root=identity, kernel=system.kernel, initrd=system.initrd, mode=system.mode)
    (tree / "boot/grub/grub.cfg").write_text(menu)
    stage.run("mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum_seed,^orphan_file", "-E", "root_owner=0:0", "-U",
              identity, "-L", "root", "-d", str(tree), str(made), f"{system.mib}M")  # fmt: skip
    return made


def _esp(stage: Stage, root: str, work: Path) -> Path:
    made, loader = work / "esp", _core(stage, "x86_64-efi", [*GRUB_MODULES, "fat"], root, work)
    with made.open("wb") as file:
        file.truncate(ROOT_AT - ESP_AT)
    stage.run("mkfs.vfat", "-n", "ESP", str(made))
    stage.run("mmd", "-i", str(made), "::/EFI", "::/EFI/BOOT")
    stage.run("mcopy", "-i", str(made), str(loader), "::/EFI/BOOT/BOOTX64.EFI")
    return made


def _core(stage: Stage, target: str, modules: list[str], root: str, work: Path) -> Path:
    early, made = work / "early.cfg", work / f"core.{target}"
    early.write_text(EARLY.format(root=root))
    stage.run("grub-mkimage", "-d", str(stage.folder / "usr/lib/grub" / target), "-O", target, "-c", str(early), "-p",
              "/boot/grub", "-o", str(made), *modules)  # fmt: skip
    return made


def _put_core(stage: Stage, target: Path, core: Path) -> None:
    """GRUB's own way into the BIOS boot partition, without asking the disk."""
    boot = bytearray((stage.folder / "usr/lib/grub/i386-pc/boot.img").read_bytes()[:440])
    rest = bytearray(core.read_bytes())
    struct.pack_into("<Q", boot, CORE_SECTOR_AT, BIOS_AT // SECTOR)
    boot[JUMP_AT : JUMP_AT + 2] = b"\x90\x90"
    sectors = -(-len(rest) // SECTOR) - 1
    struct.pack_into("<QHH", rest, LIST_AT, BIOS_AT // SECTOR + 1, sectors, SEGMENT)
    with target.open("r+b") as disk:
        disk.write(boot)
        disk.seek(BIOS_AT)
        disk.write(rest)


def _put(target: Path, at: int, part: Path) -> None:
    with target.open("r+b") as disk, part.open("rb") as source:
        disk.seek(at)
        shutil.copyfileobj(source, disk, MIB)
