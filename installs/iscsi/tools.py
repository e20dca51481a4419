"""qemu-img that speaks iSCSI: this computer's own, or one taken out of Debian's packages into the data folder."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from installs.ramdisk import RamdiskError
from installs.ramdisk.apt import PrivateApt
from installs.ramdisk.builder import apt_lock
from installs.ramdisk.sources import codename, debian_sources
from installs.ramdisk.stage import LOADER, Stage

PACKAGES = ("qemu-utils", "qemu-block-extra")
MODULE = "block-iscsi.so"
OWN = (f"usr/lib/x86_64-linux-gnu/qemu/{MODULE}", f"usr/lib64/qemu-kvm/{MODULE}")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """How it is started: the beginning of its command line, and all of its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def found(data: Path, *, root: Path = Path("/")) -> Program | None:
    """None where there is none yet."""
    plain = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    own = shutil.which("qemu-img")
    if own and any((root / place).exists() for place in OWN):
        return Program((own,), plain)
    home = _home(data)
    if not (home / "qemu-img").exists():
        return None
    loader = (str(home / Path(LOADER).name), "--inhibit-cache", "--library-path", str(home), "--argv0", "qemu-img")
    return Program((*loader, str(home / "qemu-img")), plain | {"QEMU_MODULE_DIR": str(home)})


def fetch(data: Path, say: Say) -> None:
    """Take it, and the libraries that it loads, out of Debian's packages. RamdiskError is raised and leaves nothing."""
    home = _home(data)
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".qemu-", dir=home.parent) as folder:
        stage = Stage(Path(folder) / "stage")
        with apt_lock(data, say):
            stage.unpack(_packages(data, say))
        ready = Path(folder) / "ready"
        ready.mkdir()
        program, module = stage.program("qemu-img"), next(stage.folder.glob(f"usr/lib/*/qemu/{MODULE}"))
        loader = (stage.folder / LOADER).resolve()
        parts = {"qemu-img": program, MODULE: module, Path(LOADER).name: loader} | stage.libraries([program, module])
        for name, path in parts.items():
            shutil.copy2(path, ready / name)
        shutil.rmtree(home, ignore_errors=True)
        ready.rename(home)


def _home(data: Path) -> Path:
    return data / "tools" / "qemu-iscsi"


def _packages(data: Path, say: Say) -> list[Path]:
    apt = PrivateApt(data, debian_sources(codename()), say=say)
    apt.freshen()
    try:
        return apt.download(PACKAGES, apt.closure(PACKAGES))
    except RamdiskError:
        if apt.updated_now:
            raise
    apt.update()  # a mirror drops packages that older lists still name
    return apt.download(PACKAGES, apt.closure(PACKAGES))
