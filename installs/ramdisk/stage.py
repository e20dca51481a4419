"""Debian packages unpacked into a folder, whose programs run without being installed.

The host has neither cpio nor zstd nor kmod: they are run from the stage, through its own dynamic loader.
"""

import re
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from installs.ramdisk.apt import run
from installs.ramdisk.errors import RamdiskError
from installs.ramdisk.modules import ModuleTree, canonical, read_module

PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin")
LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
MODULE_TABLES = ("modules.builtin", "modules.builtin.modinfo", "modules.order")
LOADER = "lib64/ld-linux-x86-64.so.2"


class Stage:
    """The unpacked packages below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def unpack(self, files: Iterable[Path]) -> None:
        """Unpack package files; raises RamdiskError with dpkg-deb's own words."""

        def one(file: Path) -> None:
            command = ["dpkg-deb", "--extract", str(file), str(self.folder)]
            run(command, what=f"dpkg-deb {file.name}", timeout_seconds=300)

        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(one, sorted(files, key=lambda file: -file.stat().st_size)))

    def unpack_kernel(self, file: Path, *, modules: Collection[str]) -> None:
        """Of a kernel package only some modules (hundreds of megabytes less) and the tables beside them."""
        command = ["dpkg-deb", "--fsys-tarfile", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                    for member in archive:
                        name = PurePosixPath(member.name)
                        is_module = ".ko" in name.suffixes
                        is_wanted = canonical(name.name) in modules if is_module else name.match("modules.*")
                        content = archive.extractfile(member) if member.isfile() and is_wanted else None
                        if content and ".." not in name.parts:
                            target = self.folder / name
                            target.parent.mkdir(parents=True, exist_ok=True)
                            target.write_bytes(content.read())
            except tarfile.TarError as problem:
                raise RamdiskError(f"{file.name} cannot be read; remove it and try again.") from problem

    def depmod(self, modules: ModuleTree, chosen: Iterable[str], work: Path) -> Path:
        """Lay these modules out below the empty folder `work`, with depmod's tables; returns their folder."""
        home = work / "lib/modules" / modules.folder.name
        home.mkdir(parents=True)
        for name in chosen:
            source = modules.by_name[name]
            target = home / source.relative_to(modules.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".ko":
                target.hardlink_to(source)
            else:  # the archive compresses better, and busybox loads no other kind
                target.with_suffix("").write_bytes(read_module(source))
        for table in MODULE_TABLES:
            shutil.copy2(modules.folder / table, home / table)
        self.run("depmod", "-b", str(work), modules.folder.name)
        return home

    def program(self, name: str) -> Path:
        """The file a program's name leads to, links followed inside the stage."""
        for folder in PROGRAM_FOLDERS:
            path = self.folder / folder / name
            if path.is_symlink() or path.exists():
                return self._resolved(path)
        raise RamdiskError(f"No Debian package of the ramdisk has the program {name}; its list of them is out of date.")

    def command(self, name: str, *arguments: str) -> list[str]:
        """The argument list that runs a staged program on this computer."""
        return [*self._loader(), "--argv0", name, str(self.program(name)), *arguments]

    def run(self, name: str, *arguments: str, timeout_seconds: float = 300) -> str:
        return run(self.command(name, *arguments), what=name, timeout_seconds=timeout_seconds)

    def libraries(self, programs: Iterable[Path]) -> dict[str, Path]:
        """Every shared library that these programs load: name to file. Scripts and static programs load none."""
        found: dict[str, Path] = {}
        for path in programs:
            if is_dynamic(path):
                found |= self._libraries_of(path)
        return found

    def kernel_release(self) -> str:
        """The release of the one kernel in the stage, for instance 6.1.0-40-amd64."""
        releases = sorted(path.name for path in (self.folder / "lib/modules").iterdir())
        if len(releases) != 1:
            raise RamdiskError(f"Expected one kernel among the packages, found {releases or 'none'}.")
        return releases[0]

    def _libraries_of(self, path: Path) -> dict[str, Path]:
        command = [*self._loader(), "--list", str(path)]
        listing = run(command, what=f"listing the libraries of {path.name}", timeout_seconds=30)
        found = {}
        for name, target in re.findall(r"^\s+(\S+) => (\S.*?)(?: \(0x[0-9a-f]+\))?$", listing, flags=re.M):
            if name.endswith(Path(LOADER).name):
                continue
            if not target.startswith(f"{self.folder}/"):  # "not found", or a library of this computer
                raise RamdiskError(f"{path.name} needs {name}, which no Debian package of the ramdisk has.")
            found[name] = Path(target).resolve()
        return found

    def _loader(self) -> list[str]:
        folders = ":".join(str(self.folder / folder) for folder in LIBRARY_FOLDERS)
        return [str(self._resolved(self.folder / LOADER)), "--inhibit-cache", "--library-path", folders]

    def _resolved(self, path: Path) -> Path:
        for _ in range(10):
            if not path.is_symlink():
                return path
            target = path.readlink()
            path = self.folder / target.relative_to("/") if target.is_absolute() else path.parent / target
        raise RamdiskError(f"A chain of links in the packages does not end: {path}.")


def is_dynamic(path: Path) -> bool:
    """Whether the file is an ELF program or library that names a dynamic section (the type PT_DYNAMIC, 2)."""
    head = path.open("rb").read(64 + 56 * 64)
    if head[:4] != b"\x7fELF":
        return False
    offset, size, count = (int.from_bytes(head[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = [int.from_bytes(head[offset + n * size : offset + n * size + 4], "little") for n in range(count)]
    return 2 in kinds


def piped(command: Sequence[str], output: Path) -> "subprocess.Popen[bytes]":
    """Start a filter whose standard output is a file; the caller writes to its stdin and waits for it."""
    with output.open("wb") as sink:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sink, stderr=subprocess.PIPE)
