"""Builds a ramdisk: packages, stage, tree, archive; published whole or not at all."""

import errno
import fcntl
import hashlib
import json
import logging
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from installs.ramdisk import shelf
from installs.ramdisk.apt import Package, PrivateApt, Say
from installs.ramdisk.archive import Tree
from installs.ramdisk.contents import FIRMWARE, KERNEL, NEVER_UNPACKED, SETS, TOOLS
from installs.ramdisk.errors import RamdiskError
from installs.ramdisk.layout import lay_out
from installs.ramdisk.modules import ModuleTree
from installs.ramdisk.shelf import Ramdisk
from installs.ramdisk.sources import Source, codename, debian_sources, with_backports, with_firmware
from installs.ramdisk.stage import Stage, piped

log = logging.getLogger(__name__)

COMPRESSION = "-9"  # -19 saves 2.5 MB of 20 and takes half a minute more
UNPACKED_PER_DOWNLOADED = 7  # the generic kernel grows most, 70 MB to 400
LOCK_SECONDS = 900
PACKAGE_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """What may be chosen besides the set."""

    firmware: bool = False
    backports_kernel: bool = False


def build(
    name: str,
    data: Path,
    say: Say,
    *,
    firmware: bool = False,
    backports_kernel: bool = False,
    refresh: bool = False,
) -> Ramdisk:
    """The ramdisk of this set and these options; built only where none is there yet. Takes seconds to minutes.

    refresh asks Debian for newer packages even so. Raises RamdiskError and then leaves nothing half-written.
    """
    if name not in SETS:
        raise RamdiskError(f"There is no ramdisk set {name!r}; choose one of {', '.join(SETS)}.")
    options = Options(firmware=firmware, backports_kernel=backports_kernel)
    recipe = recipe_of(name, options)
    if not refresh and (ready := _built(name, data, recipe)):
        return ready
    if platform.machine() not in ("x86_64", "AMD64"):
        raise RamdiskError(f"The ramdisk is for x86-64 and is built on x86-64; this computer is {platform.machine()}.")
    try:
        with apt_lock(data, say):
            if not refresh and (ready := _built(name, data, recipe)):
                return ready
            shelf.remove_leftovers(data)
            return _build(name, data, say, options=options, recipe=recipe, refresh=refresh)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            full = f"The disk of {data} is full. Free some space, or choose another folder with --data."
            raise RamdiskError(full) from problem
        raise RamdiskError(f"Cannot write in {data}: {problem.strerror} ({problem.filename}).") from problem


def recipe_of(name: str, options: Options) -> str:
    """A hash of what is ours in a ramdisk: this package's files, the set and the options."""
    digest = hashlib.sha256(json.dumps([name, asdict(options), codename()], sort_keys=True).encode())
    for path in sorted(PACKAGE_FOLDER.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(PACKAGE_FOLDER)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def version_of(name: str, recipe: str, packages: Sequence[Package]) -> str:
    """For instance lab-1f2e3d4c5b6a: the same recipe and packages always give the same one."""
    listing = sorted(f"{package.name}={package.version}" for package in packages)
    return f"{name}-{hashlib.sha256(json.dumps([recipe, listing]).encode()).hexdigest()[:12]}"


def _built(name: str, data: Path, recipe: str) -> Ramdisk | None:
    same = [ramdisk for ramdisk in shelf.on_shelf(name, data) if ramdisk.recipe == recipe]
    return max(same, key=lambda ramdisk: ramdisk.built_at, default=None)


def _build(name: str, data: Path, say: Say, *, options: Options, recipe: str, refresh: bool) -> Ramdisk:
    started = time.monotonic()
    apt, wanted = _prepare(data, say, options=options, refresh=refresh)
    packages = apt.closure(wanted)
    version = version_of(name, recipe, packages)
    for ready in shelf.on_shelf(name, data):
        if ready.version == version:
            say(f"ramdisk {version} is the newest already")
            return ready
    _check_space(data, packages)
    files = [file for file in _files(apt, wanted, packages) if file.name.partition("_")[0] not in NEVER_UNPACKED]
    with shelf.work_folder(data) as work:
        ramdisk = _assemble(name, work, files, say=say, data=data, manifest={
            "name": name, "version": version, "recipe": recipe, "options": asdict(options),
            "packages": {package.name: package.version for package in packages},
        })  # fmt: skip
    say(f"ramdisk {version}: {ramdisk.initrd.stat().st_size / 1e6:.1f} MB, kernel {ramdisk.kernel_release}, "
        f"{len(ramdisk.modules)} modules, in {time.monotonic() - started:.0f} s")  # fmt: skip
    return ramdisk


def _prepare(data: Path, say: Say, *, options: Options, refresh: bool) -> tuple[PrivateApt, list[str]]:
    """apt with fresh lists, and the packages to ask it for."""
    kernel = f"{KERNEL}/{codename()}-backports" if options.backports_kernel else KERNEL
    apt = PrivateApt(data, _sources(options), say=say)
    apt.freshen(now=refresh)
    if not options.firmware:
        return apt, [kernel, *TOOLS]
    absent = apt.missing(FIRMWARE)
    if absent:
        what = "any firmware package" if len(absent) == len(FIRMWARE) else ", ".join(absent)
        say(f"left out: this computer's Debian mirror does not serve {what} (component non-free-firmware). "
            "Network cards and controllers that need it may stay dark in the ramdisk.")  # fmt: skip
    return apt, [kernel, *TOOLS, *(name for name in FIRMWARE if name not in absent)]


def _sources(options: Options) -> list[Source]:
    release = codename()
    sources = debian_sources(release)
    if options.backports_kernel:
        sources = with_backports(sources, release)
    return with_firmware(sources) if options.firmware else sources


def _files(apt: PrivateApt, wanted: Sequence[str], packages: Sequence[Package]) -> list[Path]:
    try:
        return apt.download(wanted, packages)
    except RamdiskError:
        if apt.updated_now:
            raise
    apt.update()  # a mirror drops packages that older lists still name
    return apt.download(wanted, apt.closure(wanted))


def _check_space(data: Path, packages: Sequence[Package]) -> None:
    needed = (1 + UNPACKED_PER_DOWNLOADED) * sum(package.size_bytes for package in packages)
    free = shutil.disk_usage(data).free
    if free < needed:
        raise RamdiskError(
            f"Building the ramdisk needs about {needed / 1e6:.0f} MB in {data}, which has {free / 1e6:.0f} MB free. "
            "Free some space, or choose another folder with --data."
        )


def _assemble(
    name: str, work: Path, files: Sequence[Path], *, say: Say, data: Path, manifest: dict[str, Any]
) -> Ramdisk:
    stage = Stage(work / "stage")
    say(f"unpacking {len(files)} packages")
    stage.unpack(files)
    modules = ModuleTree(stage.folder / "lib/modules" / stage.kernel_release())
    chosen = modules.chosen(SETS[name])
    tree = Tree()
    lay_out(stage, tree, modules=modules, chosen=chosen, work=work / "depmod")
    say(f"packing {len(tree.entries)} files")
    ready = work / "ready"
    ready.mkdir(mode=0o755)
    write_compressed(stage, tree, ready / "initrd")
    shutil.copyfile(stage.folder / f"boot/vmlinuz-{stage.kernel_release()}", ready / "vmlinuz")
    return shelf.publish(ready, data=data, manifest=manifest | {
        "kernel_release": stage.kernel_release(), "modules": sorted(chosen), "built_at": time.time(),
        "sizes": {part: (ready / part).stat().st_size for part in ("vmlinuz", "initrd")},
    })  # fmt: skip


def write_compressed(stage: Stage, tree: Tree, target: Path) -> None:
    """Write the tree as a zstd-compressed archive."""
    with compressed(stage, target) as sink:
        tree.write(sink)


@contextmanager
def compressed(stage: Stage, target: Path) -> Iterator[BinaryIO]:
    """Where to write what `target` shall hold compressed. zstd's bytes do not depend on its number of threads."""
    process = piped(stage.command("zstd", "-q", COMPRESSION, "-T0", "-c"), target)
    assert process.stdin and process.stderr
    try:
        yield cast(BinaryIO, process.stdin)
        process.stdin.close()
    except BrokenPipeError:
        log.warning("zstd ended before what it compresses did")  # its own words follow
    except BaseException:
        process.kill()
        process.wait()
        raise
    complaint = process.stderr.read().decode(errors="replace").strip()
    process.stderr.close()
    if process.wait(timeout=300):
        raise RamdiskError(f"zstd could not write {target.name}: {complaint or 'it said nothing'}")


def fetch(names: Sequence[str], data: Path, say: Say, *, like: Ramdisk) -> list[Path]:
    """The files of these Debian packages and all they depend on, from where the packages of that ramdisk came."""
    with apt_lock(data, say):
        apt = PrivateApt(data, _sources(Options(**like.options)), say=say)
        if apt.lists_age_seconds is None:
            apt.update()
        return _files(apt, names, apt.closure(names))


@contextmanager
def apt_lock(data: Path, say: Say) -> Iterator[None]:
    """One build at a time in a data folder; the lock ends with its holder."""
    folder = data / "apt"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as problem:
                if time.monotonic() > deadline:
                    raise RamdiskError("Another ramdisk build in this data folder does not end.") from problem
                if not waiting:
                    say("waiting for another ramdisk build in this data folder")
                    waiting = True
                time.sleep(0.2)
        yield
