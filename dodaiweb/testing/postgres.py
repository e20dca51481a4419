"""A PostgreSQL cluster for the length of a test run: Debian's programs, a temporary folder, one unix socket."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PROGRAMS = Path("/usr/lib/postgresql")
START_SECONDS = 30
# A test database may be lost in a power cut: nothing is worth waiting for a disk.
_OPTIONS = {"listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresProblem(Exception):
    """The cluster does not start; the text has its last words."""


def programs() -> Path | None:
    """The folder of the newest PostgreSQL server programs on this computer."""
    found = [path.parent for path in PROGRAMS.glob("*/bin/initdb")]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


class Cluster:
    """A cluster in `folder`, which may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._prefix = folder, _as_owner(folder)
        self.url = f"postgresql://dodai@/dodai?host={folder}"
        _initialise(self._prefix, folder)

    def start(self) -> None:
        self._server = _start(self._prefix, self._folder)
        _wait(self._server, self._folder)

    def stop(self) -> None:
        _stop(self._server)


@contextmanager
def restartable_cluster() -> Iterator[Cluster]:
    """Run a cluster. Raises PostgresProblem."""
    folder = Path(tempfile.mkdtemp(prefix="dodai-postgres-"))
    try:
        cluster = Cluster(folder)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def cluster() -> Iterator[str]:
    """Run a cluster; yields the value for DODAI_DATABASE_URL. Raises PostgresProblem."""
    with restartable_cluster() as running:
        yield running.url


def _as_owner(folder: Path) -> list[str]:
    """The start of a command line that runs as the owner of `folder`: PostgreSQL refuses to run as root."""
    bound = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return bound
    user = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    return [*bound, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _initialise(prefix: list[str], folder: Path) -> None:
    options = ["--username=dodai", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    command = [*prefix, str(_required_programs() / "initdb"), *options, str(folder / "data")]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise PostgresProblem(f"initdb failed: {done.stderr.strip()}")


def _start(prefix: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    settings = _OPTIONS | {"unix_socket_directories": str(folder)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [*prefix, str(_required_programs() / "postgres"), "-D", str(folder / "data"), *options]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _wait(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(host=str(folder), user="dodai", dbname="postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise PostgresProblem(f"PostgreSQL does not start: {(folder / 'log').read_text(errors='replace')[-2000:]}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGINT)  # "fast": ends the sessions, then itself
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(timeout=15)


def _required_programs() -> Path:
    if found := programs():
        return found
    raise PostgresProblem(f"there is no PostgreSQL server under {PROGRAMS}; Debian's package is postgresql")
