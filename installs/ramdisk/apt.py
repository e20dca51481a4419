"""apt with a state and a cache of its own: nothing of this computer's packages is read or changed."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from installs.ramdisk.errors import RamdiskError
from installs.ramdisk.sources import Source, one_line

FRESH_SECONDS = 24 * 3600  # older package lists are asked for again before a build
UPDATE_SECONDS = 300
DOWNLOAD_SECONDS = 1800

Say = Callable[[str], None]

# Read after the system's own configuration, so a proxy set there stays and its hooks (which would run commands of
# this computer, or empty our cache) do not.
_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Post-Invoke-Stats;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear Dir::Etc::preferencesparts;
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Default-Release "";
APT::Get::List-Cleanup "true";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Keep-Downloaded-Packages "true";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Binary::apt-get::APT::Keep-Downloaded-Packages "true";
Debug::NoLocking "true";
"""


@dataclass(frozen=True)
class Package:
    """One package file of a closure; size in bytes."""

    name: str
    version: str
    file_name: str
    size_bytes: int


class PrivateApt:
    """apt-get for a list of sources, with everything below data/apt. Raises RamdiskError, in the operator's words."""

    def __init__(self, data: Path, sources: Sequence[Source], *, say: Say) -> None:
        self._say = say
        self.updated_now = False
        self.folder = data / "apt"
        self.archives = self.folder / "archives"
        lines = [one_line(source, self._made(self.folder)) for source in sources]
        self._state = self._made(self.folder / f"state-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:8]}")
        for name in ("lists/partial", "preferences.d", "sources.d", "empty/partial"):
            self._made(self._state / name)
        self._made(self.archives / "partial")
        (self._state / "sources.list").write_text("".join(lines))
        (self._state / "status").write_text("")
        (self._state / "apt.conf").write_text(_CONFIGURATION)

    @property
    def lists_age_seconds(self) -> float | None:
        """How old the package lists are; None before the first update."""
        try:
            return max(0.0, time.time() - (self._state / "updated").stat().st_mtime)
        except FileNotFoundError:
            return None

    def update(self) -> None:
        self._say("asking Debian for its package lists")
        self._run("update", timeout_seconds=UPDATE_SECONDS)
        (self._state / "updated").touch()
        self.updated_now = True

    def freshen(self, *, now: bool = False) -> None:
        """Update the lists where they are missing or old; without a network, old lists are good enough."""
        age = self.lists_age_seconds
        if age is None:
            return self.update()
        if not now and age < FRESH_SECONDS:
            return None
        try:
            return self.update()
        except RamdiskError as problem:
            if now:
                raise
            return self._say(f"going on with package lists of {age / 3600:.0f} hours ago: {problem}")

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of these packages that the sources do not serve."""
        served = set(self._run("pkgnames", program="apt-cache").split())
        return [name for name in names if name not in served]

    def closure(self, names: Sequence[str]) -> list[Package]:
        """The named packages (name or name/suite) and all that they depend on, on an empty system."""
        # --print-uris leaves out what is in the cache, so it looks into an empty one.
        nothing = f"-oDir::Cache::archives={self._state / 'empty'}"
        output = self._run("install", nothing, "--yes", "--print-uris", "--quiet=2", *names)
        found = re.findall(r"^'[^']+' ((\S+?)_(\S+)_\S+\.deb) (\d+)", output, flags=re.M)
        packages = [Package(name, unquote(version), file, int(size)) for file, name, version, size in found]
        return sorted(packages, key=lambda package: package.name)

    def download(self, names: Sequence[str], packages: Sequence[Package]) -> list[Path]:
        """The package files, fetched where the cache lacks them."""
        absent = [package for package in packages if not self._path(package).exists()]
        if absent:
            total = sum(package.size_bytes for package in absent)
            self._say(f"fetching {len(absent)} Debian packages, {total / 1e6:.0f} MB")
            self._run("install", "--yes", "--download-only", "--quiet=2", *names, timeout_seconds=DOWNLOAD_SECONDS)
        return [self._path(package) for package in packages]

    def index(self, packages: Sequence[Package]) -> str:
        """An index (`Packages`) of a folder that holds the files of these packages, with their digests."""
        names = [f"{package.name}={package.version}" for package in packages]
        listing = self._run("show", "--no-all-versions", *names, program="apt-cache")
        files = {(package.name, package.version): package.file_name for package in packages}
        stanzas = []
        for stanza in listing.strip().split("\n\n"):
            name, version = (re.search(rf"^{field}: (.+)$", stanza, flags=re.M) for field in ("Package", "Version"))
            file = files[name[1], version[1]] if name and version else ""
            stanzas.append(re.sub(r"^Filename: .*$", f"Filename: ./{file}", stanza, flags=re.M))
        return "\n\n".join(stanzas) + "\n"

    def _path(self, package: Package) -> Path:
        return self.archives / package.file_name

    def _run(self, *arguments: str, program: str = "apt-get", timeout_seconds: float = 120) -> str:
        directories = {
            "Dir::State": self._state,
            "Dir::State::status": self._state / "status",
            "Dir::State::lists": self._state / "lists",
            "Dir::Cache": self._state,
            "Dir::Cache::pkgcache": self._state / "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Cache::archives": self.archives,
            "Dir::Etc::sourcelist": self._state / "sources.list",
            "Dir::Etc::sourceparts": self._state / "sources.d",
            "Dir::Etc::preferences": self._state / "none",
            "Dir::Etc::preferencesparts": self._state / "preferences.d",
            "Dir::Log": self._state,
        }
        options = [f"-o{name}={value}" for name, value in directories.items()]
        command = [program, f"--config-file={self._state / 'apt.conf'}", *options, *arguments]
        return run(command, what=f"{program} {arguments[0]}", timeout_seconds=timeout_seconds)

    @staticmethod
    def _made(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def run(command: Sequence[str], *, what: str, timeout_seconds: float) -> str:
    """Standard output of a host program; RamdiskError where it is missing, fails or takes too long."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    if not shutil.which(command[0]):
        raise RamdiskError(
            f"{command[0]} is not on this computer. The ramdisk is built from Debian packages: run this on Debian 12, "
            f"or copy the folder `ramdisk` of a data folder that has one."
        )
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired as problem:
        raise RamdiskError(f"{what} did not end within {timeout_seconds:.0f} s; try again.") from problem
    output, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    if done.returncode:
        raise RamdiskError(explain(what, f"{output}\n{errors}"))
    return output


def explain(what: str, output: str) -> str:
    """One sentence or two for the operator, from what apt said."""
    if re.search(r"No space left|enough free space|Disk quota exceeded|write error", output):
        return f"{what}: the disk of the data folder is full. Free some space, or choose another folder with --data."
    if re.search(r"non-free-firmware|-backports", output) and "does not have a Release file" in output:
        return f"{what}: this computer's package mirror does not serve what was asked for: {_last(output)}"
    if re.search(r"resolv|[Cc]ould not connect|[Cc]onnection (failed|refused|timed out)|unreachable|timed out", output):
        return (
            f"{what}: Debian's packages cannot be reached. Check the network (or apt's proxy) and try again. "
            f"{_last(output)}"
        )
    if "EXPKEYSIG" in output or "NO_PUBKEY" in output or "not signed" in output:
        return f"{what}: Debian's signature cannot be checked; install debian-archive-keyring. {_last(output)}"
    return f"{what} failed: {_last(output)}"


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")][:2] or lines[-3:] or ["it said nothing"]
    return " ".join(dict.fromkeys(errors))[:300]
