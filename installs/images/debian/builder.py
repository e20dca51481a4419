"""Builds the image debian-12: packages by apt with all its checks, the tree by mmdebstrap, one .tar.zst."""

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

import zstandard

from dodaiweb.debian import apt_line
from dodaiweb.debian import install as apt_install
from installs.images.debian import recipe
from installs.ramdisk import RamdiskError
from installs.ramdisk.apt import Package, PrivateApt
from installs.ramdisk.builder import apt_lock
from installs.ramdisk.sources import Source, debian_sources

ESSENTIAL = "?essential"  # apt-patterns(7)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"  # of a package that the image has
BUILD_SECONDS = 3600
SPARE_BYTES = 3 << 30  # packages, tree and archive
LEVEL = 9
BLOCK_BYTES = 4096  # what the smallest file takes in ext4
LOUD_EVERY_SECONDS = 0.5
PREFIX = "dodai-debian-"

Say = Callable[[str], None]
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Built:
    """A .tar.zst; unpacked_bytes is what it takes on a disk."""

    path: Path
    unpacked_bytes: int


@contextmanager
def build(data: Path, say: Say, told: Told, *, also: Sequence[str] = ()) -> Iterator[Built]:
    """The image, for as long as the context lasts. Takes minutes; raises RamdiskError in plain words.

    `told(phase, done, total)` hears how far it is, in bytes for "fetch", else in packages. What it raises stops all.
    `also` names packages that it holds besides the recipe's.
    """
    _require_tools()
    with _work_folder(data) as work:
        _require_room(work)
        named = (*recipe.PACKAGES, *also)
        repository, count = _repository(named, data, work, say, told)
        say("installing the packages into a tree of their own")
        told("install", 0, count)
        yield _tree(repository, work, named=named, count=count, told=told)


def missing() -> list[str]:
    """Debian packages without which it cannot be built here."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    absent = [] if shutil.which("mmdebstrap", path=path) else ["mmdebstrap"]
    if os.geteuid() != 0 and not shutil.which("newuidmap", path=path) and not shutil.which("fakechroot", path=path):
        absent.append("uidmap")
    return absent


def _require_tools() -> None:
    absent = missing()
    if absent and not (apt_install(absent, "The image debian-12") and not missing()):
        raise RamdiskError(f"Debian 12 is built by packages that are missing. Install them with: {apt_line(absent)}")


@contextmanager
def _work_folder(data: Path) -> Iterator[Path]:
    """As root in the data folder. A plain user's mmdebstrap is another user to the system and could not go in there."""
    top = data if os.geteuid() == 0 else Path("/var/tmp")  # noqa: S108 - a name that nobody can guess is made in it
    for old in top.glob(f"{PREFIX}*"):
        if old.owner() == Path(f"/proc/{os.getpid()}").owner():
            _remove(old)
    work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=top))
    work.chmod(0o755)
    try:
        yield work
    finally:
        _remove(work)


def _remove(folder: Path) -> None:
    # Never into another file system: a tree that was left half-built may have this computer's /dev mounted in it.
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(folder)], check=False, timeout=300)


def _require_room(work: Path) -> None:
    free = shutil.disk_usage(work).free
    if free < SPARE_BYTES:
        raise RamdiskError(
            f"Building Debian 12 needs {SPARE_BYTES >> 30} GiB in {work.parent}, which has {free >> 20} MiB free: "
            "make room, then try again."
        )


def _repository(named: Sequence[str], data: Path, work: Path, say: Say, told: Told) -> tuple[Path, int]:
    """A folder with all packages and an index: what apt fetched and whose signatures it has checked; their number."""
    wanted = (ESSENTIAL, *named)
    with apt_lock(data, say):
        apt = PrivateApt(data, debian_sources(recipe.RELEASE), say=say)
        apt.freshen()
        packages, files = apt.closure(wanted), []
        with _watched(apt.archives, packages, told):
            try:
                files = apt.download(wanted, packages)
            except RamdiskError:
                if apt.updated_now:
                    raise
                apt.update()  # a mirror drops packages that older lists still name
                packages = apt.closure(wanted)
                files = apt.download(wanted, packages)
        folder = work / "packages"
        folder.mkdir()
        for file in files:
            shutil.copyfile(file, folder / file.name)
        (folder / "Packages").write_text(apt.index(packages))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder, len(packages)


@contextmanager
def _watched(archives: Path, packages: list[Package], told: Told) -> Iterator[None]:
    """Tell how much of the packages is there while apt fetches them."""
    stop, total = threading.Event(), sum(package.size_bytes for package in packages)

    def look() -> None:
        # What it raises is raised again where the caller itself tells: apt cannot be stopped in between.
        with contextlib.suppress(Exception):
            while not stop.wait(LOUD_EVERY_SECONDS):
                told("fetch", min(total, sum(_held_bytes(archives, package) for package in packages)), total)

    told("fetch", 0, total)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _held_bytes(archives: Path, package: Package) -> int:
    for path in (archives / package.file_name, archives / "partial" / package.file_name):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            continue
    return 0


def _tree(repository: Path, work: Path, *, count: int, told: Told, named: Sequence[str] = recipe.PACKAGES) -> Built:
    target = work / "debian.tar.zst"
    command = [
        "mmdebstrap", *_mode(), "--variant=apt", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--verbose",
        "--format=tar", "--architectures=amd64",
        f"--include={','.join(named)}", *_hooks(repository), recipe.RELEASE, "-",
        f"deb [trusted=yes] copy:{repository} ./",
    ]  # fmt: skip
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"LC_ALL": "C.UTF-8", "TMPDIR": str(work)}
    environment["PATH"] = os.pathsep.join((environment.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    process = subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    words = _Words(process.stderr, count=count, told=told, stop=process.terminate)
    words.start()
    try:
        unpacked_bytes = _compress(process.stdout, target, lambda done: told("pack", done, 0))
        process.wait(timeout=60)
    except tarfile.TarError as problem:
        process.terminate()
        words.join(timeout=60)
        words.raise_what_stopped()
        raise RamdiskError(f"mmdebstrap gave no tree: {words.last()}") from problem
    finally:
        _end(process)
    words.join(timeout=60)
    words.raise_what_stopped()
    if process.returncode:
        raise RamdiskError(f"mmdebstrap ended with code {process.returncode}: {words.last()}")
    return Built(target, unpacked_bytes)


def _mode() -> list[str]:
    """In namespaces of its own where the kernel lets us: then nothing that a package does reaches this computer."""
    if os.geteuid() != 0:
        return ["--mode=auto"]
    may = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return ["--mode=unshare"] if may.returncode == 0 else ["--mode=root", "--skip=check/canmount"]


def _hooks(repository: Path) -> list[str]:
    """The scripts as text: whoever runs them may not be able to read this folder."""
    sources = "".join(_source_line(source) for source in debian_sources(recipe.RELEASE) if _is_public(source))
    scripts = [(recipe.FILES / "customize").read_text(), f"cat >\"$1/etc/apt/sources.list\" <<'END'\n{sources}END\n"]
    excluded = [f'--dpkgopt=path-exclude="{pattern}"' for pattern in recipe.LEFT_OUT]
    kept = [f'--dpkgopt=path-include="{pattern}"' for pattern in recipe.KEPT]
    return [*excluded, *kept, *(f"--customize-hook={script}" for script in scripts)]


def _is_public(source: Source) -> bool:
    """Whether an installed machine may be told of it: no folder of this computer, no password."""
    parts = urlsplit(source.uri)
    return parts.scheme in ("http", "https") and not parts.username


def _source_line(source: Source) -> str:
    option = f" [signed-by={KEYRING}]" if source.signed_by == KEYRING else ""
    return f"deb{option} {source.uri} {source.suite} {' '.join(source.components)}\n"


class _Words(threading.Thread):
    """Reads what mmdebstrap says: how far it is, and why it failed."""

    def __init__(self, stream: IO[bytes], *, count: int, told: Told, stop: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._stream, self._count, self._told, self._stop = stream, count, told, stop
        self._lines: deque[str] = deque(maxlen=30)
        self._problem: BaseException | None = None
        self._done, self._told_at = 0, 0.0

    def run(self) -> None:
        for raw in self._stream:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            self._done += line.startswith(("Unpacking ", "Setting up "))
            if self._problem is None and time.monotonic() - self._told_at > LOUD_EVERY_SECONDS:
                self._tell()

    def raise_what_stopped(self) -> None:
        if self._problem is not None:
            raise self._problem

    def last(self) -> str:
        lines = [line for line in self._lines if re.match(r"E:|dpkg: error|Err", line)] or list(self._lines)
        return " ".join(lines[-3:])[:400] or "it said nothing"

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        try:
            self._told("install", min(self._done // 2, self._count), self._count)
        except BaseException as problem:  # noqa: BLE001 - raised again where the build is waited for
            self._problem = problem
            self._stop()


def _compress(source: IO[bytes], target: Path, told: Callable[[int], None]) -> int:
    """Pack the tar that comes from `source`; returns what its files take on a disk. Raises TarError where it breaks."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=-1, write_checksum=True)
    with target.open("wb") as file, compressor.stream_writer(file) as sink:
        copied = _Copied(source, sink, told)
        with tarfile.open(fileobj=cast(IO[bytes], copied), mode="r|") as archive:
            unpacked_bytes = sum(_bytes_on_disk(member) for member in archive)
        while copied.read(1 << 20):
            pass
    return unpacked_bytes


class _Copied:
    """A stream that passes on whatever is read from it."""

    def __init__(
        self, source: IO[bytes], sink: zstandard.ZstdCompressionWriter, told: Callable[[int], None]
    ) -> None:  # fmt: skip
        self._source, self._sink, self._told, self._done = source, sink, told, 0

    def read(self, size: int) -> bytes:
        chunk = self._source.read(size)
        self._sink.write(chunk)
        self._done += len(chunk)
        self._told(self._done)
        return chunk


def _bytes_on_disk(member: tarfile.TarInfo) -> int:
    if member.isfile():
        return -(-member.size // BLOCK_BYTES) * BLOCK_BYTES
    return BLOCK_BYTES if member.isdir() else 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let it clean up behind itself; then it has to go."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)
