"""Small images of every kind, made as their owners would make them: real archives, real file systems."""

import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import zstandard

from installs.ramdisk.archive import Tree

RELEASE = "6.1.0-9-amd64"
ALIASES = (
    "alias pci:v00001000d0000005Dsv*sd*bc*sc*i* megaraid_sas\n"
    "alias pci:v00001AF4d00001001sv*sd*bc*sc*i* virtio_pci\n"
    "alias virtio:d00000002v* virtio_blk\n"
    "alias pci:v*d*sv*sd*bc01sc06i01* ahci\n"
    "alias scsi:t-0x00* sd_mod\n"
    "alias pci:v00008086d00001572sv*sd*bc*sc*i* i40e\n"
)
IN_INITRD = ("virtio_blk", "virtio_pci", "ahci", "sd_mod", "ext4")


def initrd(*modules: str, pack=lambda data: zstandard.compress(data), aliases: str = "") -> bytes:
    """Microcode unpacked in front, then a packed archive with these modules, as Debian has it."""
    early, late = Tree(), Tree()
    early.file("kernel/x86/microcode/AuthenticAMD.bin", b"x")
    for module in modules:
        late.file(f"usr/lib/modules/{RELEASE}/kernel/drivers/{module.replace('_', '-')}.ko.xz", b"\x7fELF")
    late.file(f"usr/lib/modules/{RELEASE}/modules.alias", aliases.encode())
    first, second = io.BytesIO(), io.BytesIO()
    early.write(first)
    late.write(second)
    return first.getvalue() + bytes(64) + pack(second.getvalue())


def tree(**changes: bytes | None) -> dict[str, bytes]:
    """Files of a small system that fits the contract; a name changed to None is left out. `__` stands for a slash."""
    modules = f"usr/lib/modules/{RELEASE}"
    files = {
        "etc/os-release": b'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\n',
        "etc/machine-id": b"",
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": b"",
        f"boot/vmlinuz-{RELEASE}": b"kernel",
        f"boot/initrd.img-{RELEASE}": initrd(*IN_INITRD),
        "usr/lib/systemd/systemd": b"\x7fELF",
        "usr/bin/curl": b"\x7fELF",
        "usr/sbin/sshd": b"\x7fELF",
        f"{modules}/modules.alias": ALIASES.encode(),
        f"{modules}/modules.builtin": b"kernel/drivers/tty/serial/8250/8250.ko\nkernel/drivers/pci/pcie-port.ko\n",
        f"{modules}/modules.builtin.modinfo": b"nvme.alias=pci:v*d*sv*sd*bc01sc08i02*\0nvme.license=GPL\0",
    }
    for name, content in changes.items():
        path = name.replace("__", "/")
        files.pop(path, None)
        if content is not None:
            files[path] = content
    return files


def lay_out(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files below `folder`, with /lib a link as in Debian."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "lib").symlink_to("usr/lib")
    return folder


def tar(files: Mapping[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        link = tarfile.TarInfo("./lib")
        link.type, link.linkname = tarfile.SYMTYPE, "usr/lib"
        archive.addfile(link)
        for name in sorted({str(parent) for path in files for parent in Path(path).parents} - {"."}):
            folder = tarfile.TarInfo(f"./{name}")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return data.getvalue()


def tar_zst(path: Path, files: Mapping[str, bytes] | None = None, *extra: tarfile.TarInfo) -> Path:
    path.write_bytes(zstandard.compress(tar(tree() if files is None else files, *extra)))
    return path


def ext4(path: Path, work: Path, files: Mapping[str, bytes] | None = None, *options: str, size: str = "24M") -> Path:
    """A file system made by mke2fs from a folder, without mounting anything."""
    work.mkdir()
    lay_out(work, tree() if files is None else files)
    subprocess.run(
        ["/usr/sbin/mke2fs", "-q", "-t", "ext4", *options, "-d", work, path, size], check=True, capture_output=True
    )
    return path


__all__ = ["ALIASES", "IN_INITRD", "RELEASE", "ext4", "initrd", "lay_out", "tar", "tar_zst", "tree"]
