"""Debian 13's own installer as an ISO image: its netboot kernel and initrd, and a mirror made in a test.

Everything comes from Debian's packages by an apt of its own. The udebs that a point release took out of the archive
(kernel modules, e2fsprogs) are packed anew from the packages that it serves. The mirror is signed by a key of its own.
"""

import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pycdlib

from installs.ramdisk.sources import codename, debian_sources

SUITE, KERNEL = "trixie", "linux-image-cloud-amd64"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NETBOOT = "debian-installer-13-netboot-amd64"
NETBOOT_FILES = "usr/lib/debian-installer/images/13/amd64/text/debian-installer/amd64"
UDEBS = (
    "apt-setup-udeb apt-mirror-setup base-installer bootstrap-base disk-detect finish-install grub-installer "
    "partman-auto partman-base partman-ext3 partman-basicmethods partman-partitioning partman-target pkgsel "
    "user-setup-udeb clock-setup tzsetup-udeb e2fsprogs-udeb dodai-modules"
).split()
DEBS = (
    "initramfs-tools grub-pc grub2-common os-prober busybox locales console-setup keyboard-configuration kbd tasksel "
    "eject laptop-detect installation-report zstd usbutils pciutils openssh-server"
).split()
DRIVERS = "virtio_blk virtio_scsi ahci ata_piix nvme sd_mod sr_mod cdrom isofs ext4 loop squashfs dm_mod".split()
PROVIDED = "ata-modules scsi-modules sata-modules cdrom-core-modules isofs-modules ext4-modules loop-modules md-modules"
TOOLS = "mke2fs mkfs.ext2 mkfs.ext3 mkfs.ext4 e2fsck fsck.ext2 fsck.ext3 fsck.ext4 tune2fs resize2fs".split()
SECONDS = 900


def make_iso(folder: Path, *, whole: bool) -> Path:
    """The image, made in `folder`; without `whole` its mirror has no Debian to install, but all that comes before."""
    before = os.umask(0o022)  # dpkg-deb packs no folder that others cannot read
    try:
        return _make_iso(folder, whole=whole)
    finally:
        os.umask(before)


def _make_iso(folder: Path, *, whole: bool) -> Path:
    apt = Apt(folder / "apt")
    apt.run("apt-get", "-qq", "update")
    netboot = _unpacked(apt.fetch(NETBOOT), folder / "netboot") / NETBOOT_FILES
    initrd = _initrd(netboot / "initrd.gz", folder / "initrd")
    tree = folder / "tree"
    udebs = _udebs(apt, folder, initrd)
    debs = _debs(apt) if whole else []
    _mirror(tree, udebs, debs, folder / "gnupg")
    for name in ("linux", "initrd.gz"):
        _put(netboot / name, tree / "install.amd" / "netboot" / name)
    return _write_iso(tree, folder / "debian-13.iso")


@dataclass
class Apt:
    """apt-get for Debian 13 alone, with everything below `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "files"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        uri = debian_sources(codename())[0].uri
        (self.folder / "sources.list").write_text(
            f"deb [arch=amd64 signed-by={KEYRING}] {uri} {SUITE} main main/debian-installer\n"
        )
        places = {"State": "state", "State::status": "status", "Cache": "cache", "Etc::sourcelist": "sources.list"}
        lines = [f'Dir::{name} "{self.folder / place}";' for name, place in places.items()]
        lines += ['Dir::Etc::sourceparts "-";', 'APT::Install-Recommends "false";', 'APT::Sandbox::User "root";']
        (self.folder / "apt.conf").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str, check: bool = True) -> str:
        environment = os.environ | {"APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"}
        done = subprocess.run(
            arguments, env=environment, cwd=self.folder / "files", capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def stanzas(self, component: str) -> list[str]:
        """Of the packages in one component of the archive, as its index has them."""
        lists = self.folder / "state" / "lists"
        found = next(path for path in lists.iterdir() if f"_{component}_binary-amd64_Packages" in path.name)
        text = self.run("/usr/lib/apt/apt-helper", "cat-file", str(found))
        return [stanza.strip("\n") for stanza in text.split("\n\n") if stanza.strip()]

    def fetch(self, name: str) -> Path:
        self.fetch_all([name])
        return next((self.folder / "files").glob(f"{name.partition('=')[0]}_*"))

    def fetch_all(self, names: Iterable[str]) -> list[Path]:
        """What the archive serves of these; apt goes on behind those that it does not."""
        self.run("apt-get", "-qq", "download", *names, check=False)
        return sorted((self.folder / "files").iterdir())


@dataclass
class Package:
    """One package of the mirror: the stanza of its index, and its file."""

    stanza: str
    path: Path
    place: str = field(default="")

    def __post_init__(self) -> None:
        self.place = _field(self.stanza, "Filename")


def _field(stanza: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", stanza, flags=re.M)
    return found[1] if found else ""


def _names(stanza: str, name: str) -> list[str]:
    """Of a field that lists packages; of alternatives the first."""
    listed = [part.split("|")[0].split() for part in _field(stanza, name).split(",")]
    return [words[0] for words in listed if words]


def _udebs(apt: Apt, folder: Path, initrd: Path) -> list[Package]:
    """All that the installer loads for an install on ext4 with GRUB, but what its initrd has already."""
    own = [_modules_udeb(apt, folder, initrd), _e2fsprogs_udeb(apt, folder)]
    mine = {_field(package.stanza, "Package"): package.stanza for package in own}
    listed = {_field(stanza, "Package"): stanza for stanza in apt.stanzas("debian-installer")}
    # Modules in the archive are of another kernel by now; those of this one are in the initrd and in our own udeb.
    known = {name: stanza for name, stanza in listed.items() if not name.endswith("-amd64-di")} | mine
    wanted = [name for name in _closure(known, (initrd / "var/lib/dpkg/status").read_text()) if name not in mine]
    names = [f"{name}={_field(known[name], 'Version')}" for name in wanted]
    files = {path.name.split("_")[0]: path for path in apt.fetch_all(names) if path.suffix == ".udeb"}
    return own + [Package(known[name], files[name]) for name in wanted if name in files]


def _closure(known: dict[str, str], status: str) -> list[str]:
    there = set(re.findall(r"^Package: (.*)$", status, flags=re.M))
    there |= {name for stanza in status.split("\n\n") for name in _names(stanza, "Provides")}
    by_preference = [*(name for name in known if name not in UDEBS), *(name for name in UDEBS if name in known)]
    provided = {name: package for package in by_preference for name in _names(known[package], "Provides")}
    wanted: dict[str, None] = {}
    waiting = list(UDEBS)
    while waiting:
        asked = waiting.pop()
        name = asked if asked in known else provided.get(asked, asked)
        if asked in there or name in there or name in wanted or name not in known:
            continue
        wanted[name] = None
        waiting += _names(known[name], "Depends")
    return sorted(wanted)


def _modules_udeb(apt: Apt, folder: Path, initrd: Path) -> Package:
    """The drivers of disks and file systems, for the kernel of the installer."""
    release = next((initrd / "usr/lib/modules").iterdir()).name
    image = _unpacked(apt.fetch(f"linux-image-{release}"), folder / "kernel")
    modules = image / "usr/lib/modules" / release
    files = {_module(path): path for path in modules.glob("kernel/**/*.ko*")}
    there = {_module(path) for path in (initrd / "usr/lib/modules" / release).glob("kernel/**/*.ko*")}
    tree = folder / "modules"
    for name in _needed(files) - there:
        _put(files[name], tree / files[name].relative_to(image))
    fields = {
        "Package": "dodai-modules", "Version": "1", "Priority": "standard", "Kernel-Version": release,
        "Provides": PROVIDED.replace(" ", ", "),
    }  # fmt: skip
    return _packed(tree, fields, after="#!/bin/sh\ndepmod -a || true\n")


def _module(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _needed(files: dict[str, Path]) -> set[str]:
    """The drivers and what they depend on, by what stands in them (NUL-separated `depends=`)."""
    found: set[str] = set()
    waiting = list(DRIVERS)
    while waiting:
        name = waiting.pop().replace("-", "_")
        if name in found or name not in files:
            continue
        found.add(name)
        for listed in re.findall(rb"\0(?:depends|softdep)=([^\0]*)\0", lzma.decompress(files[name].read_bytes())):
            waiting += [word for word in re.split(r"[ ,]", listed.decode()) if word and not word.endswith(":")]
    return found


def _e2fsprogs_udeb(apt: Apt, folder: Path) -> Package:
    for name in ("e2fsprogs", "libext2fs2t64", "libcom-err2", "libss2"):
        unpacked = _unpacked(apt.fetch(name), folder / "e2fs")
    tree = folder / "e2fs-udeb"
    for tool in TOOLS:
        _put(unpacked / "usr/sbin" / tool, tree / "usr/sbin" / tool)
    _put(unpacked / "etc/mke2fs.conf", tree / "etc/mke2fs.conf")
    for library in (unpacked / "usr/lib/x86_64-linux-gnu").glob("*.so.*"):
        _put(library, tree / "usr/lib" / library.name)
    return _packed(tree, {"Package": "e2fsprogs-udeb", "Version": "1", "Priority": "optional"})


def _packed(tree: Path, fields: dict[str, str], *, after: str = "") -> Package:
    """A udeb of this tree."""
    about = fields | {"Architecture": "amd64", "Maintainer": "Dodai <test@example.org>", "Description": "for a test"}
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text("".join(f"{name}: {value}\n" for name, value in about.items()))
    if after:
        (tree / "DEBIAN" / "postinst").write_text(after)
        (tree / "DEBIAN" / "postinst").chmod(0o755)
    path = tree.with_name(f"{fields['Package']}.udeb")
    _do("dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", tree, path)
    data = path.read_bytes()
    about |= {"Filename": f"pool/own/{path.name}", "Size": str(len(data)), "SHA256": hashlib.sha256(data).hexdigest()}
    return Package("\n".join(f"{name}: {value}" for name, value in about.items()), path)


def _debs(apt: Apt) -> list[Package]:
    """Debian's base, a kernel, and what the installer adds of itself, with all that they depend on."""
    known = {(_field(stanza, "Package"), _field(stanza, "Version")): stanza for stanza in apt.stanzas("main")}
    base = {name for (name, _v), stanza in known.items() if _field(stanza, "Priority") in ("required", "important")}
    asked = sorted({*base, KERNEL, *DEBS})
    told = apt.run("apt-get", "-s", "-qq", "-y", "install", *asked)
    chosen = re.findall(r"^Inst (\S+) \((\S+) ", told, flags=re.M)
    apt.run("apt-get", "--download-only", "-qq", "-y", "install", *asked)
    archives = apt.folder / "cache" / "archives"
    return [Package(known[each], _deb_file(archives, known[each])) for each in chosen]


def _deb_file(archives: Path, stanza: str) -> Path:
    version = _field(stanza, "Version").replace(":", "%3a")
    return archives / f"{_field(stanza, 'Package')}_{version}_{_field(stanza, 'Architecture')}.deb"


def _mirror(tree: Path, udebs: list[Package], debs: list[Package], keys: Path) -> None:
    """A signed archive: choose-mirror asks for a Release of each architecture, debootstrap for one without `all`."""
    sums = []
    for place, packages in (("main/binary-amd64", debs), ("main/debian-installer/binary-amd64", udebs)):
        for package in packages:
            _put(package.path, tree / package.place)
        text = "".join(f"{package.stanza}\n\n" for package in packages).encode()
        about = b"Archive: stable\nComponent: main\nArchitecture: amd64\nOrigin: test\nLabel: test\n"
        for name, data in (
            ("Packages", text), ("Packages.gz", gzip.compress(text, mtime=0)), ("Packages.xz", lzma.compress(text)),
            ("Release", about),
        ):  # fmt: skip
            path = tree / "dists" / SUITE / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {place}/{name}\n")
    head = (
        f"Origin: test\nLabel: test\nSuite: stable\nCodename: {SUITE}\nVersion: 13.0\nDate: {formatdate(usegmt=True)}\n"
    )
    release = tree / "dists" / SUITE / "Release"
    release.write_text(f"{head}Architectures: amd64\nComponents: main\nSHA256:\n{''.join(sums)}")
    _sign(release, tree / "mirror.gpg", keys)
    (tree / "dists" / "stable").symlink_to(SUITE)


def _sign(release: Path, public: Path, keys: Path) -> None:
    keys.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", keys, "--batch", "--yes", "--quiet")
    _do(*gpg, "--passphrase", "", "--quick-gen-key", "mirror of a test", "rsa2048", "sign", "never")
    _do(*gpg, "--output", public, "--export")
    _do(*gpg, "--output", release.with_name("Release.gpg"), "--armor", "--detach-sign", release)
    _do(*gpg, "--output", release.with_name("InRelease"), "--clearsign", release)
    _do("gpgconf", "--homedir", keys, "--kill", "gpg-agent")


def _initrd(packed: Path, folder: Path) -> Path:
    """The files of an initrd (cpio, newc); links are left out."""
    data, at = gzip.decompress(packed.read_bytes()), 0
    while data[at : at + 6] == b"070701":
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 109 + name_size].decode()
        body = (at + 110 + name_size + 3) & ~3
        at = (body + size + 3) & ~3
        if mode & 0o170000 == 0o100000:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data[body : body + size])
    return folder


def _write_iso(tree: Path, target: Path) -> Path:
    iso = pycdlib.PyCdlib()
    iso.new(rock_ridge="1.09", interchange_level=4)
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        at = f"/{str(name).upper()}"
        if path.is_symlink():
            iso.add_symlink(at, rr_symlink_name=name.name, rr_path=os.readlink(path))
        elif path.is_dir():
            iso.add_directory(at, rr_name=name.name)
        else:
            iso.add_file(str(path), at, rr_name=name.name)
    iso.write(str(target))
    iso.close()
    return target


def _unpacked(package: Path, folder: Path) -> Path:
    _do("dpkg-deb", "--extract", package, folder)
    return folder


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    shutil.copymode(source, target)


def _do(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
