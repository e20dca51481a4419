"""Names of processes, by which others on the same computer can tell that one has ended."""

import hashlib
import os
from functools import cache

from machines.clock import boot_id

LONGEST_NAME = 25


def own_name() -> str:
    """At most LONGEST_NAME characters: where this process runs, its number and when it began."""
    pid = os.getpid()
    return f"{_place()}.{pid:x}.{_began(pid) or 0:x}"


def has_ended(name: str) -> bool:
    """True only where it is certain: a name from this computer, of a process that is not there any more."""
    place, _, rest = name.partition(".")
    pid, _, began = rest.partition(".")
    try:
        return place == _place() and _began(int(pid, 16)) != int(began, 16)
    except ValueError:
        return False


@cache
def _place() -> str:
    """This boot of this computer, and whose process numbers count: containers have their own."""
    return hashlib.sha256(f"{boot_id()} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:8]


def _began(pid: int) -> int | None:
    """In ticks since the boot (proc(5), stat, fields 3 and 22); None when it has ended, even if nobody reaped it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
