"""Time that a stepped wall clock does not fool."""

import time
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """The kernel's random name of this boot (proc(5))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boot_seconds() -> float:
    """Seconds since this host booted, sleep included; no change of the wall clock moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
