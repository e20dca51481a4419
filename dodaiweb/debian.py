"""Debian packages that Dodai needs: installed with a word about it by root, named in one line to anybody else.

Standard library only: the set-up uses it before there are any packages.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

APT_DEADLINE_SECONDS = 1200  # a slow mirror; nothing here waits for ever
_APT_OPTIONS = ("-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")


def apt_line(packages: Sequence[str]) -> str:
    """The one line a person types to get `packages`."""
    return f"sudo apt-get install --no-install-recommends {' '.join(packages)}"


def install(packages: Sequence[str], why: str) -> bool:
    """Install `packages` if we may; otherwise print the line that does. True if they were installed."""
    if not shutil.which("apt-get"):
        _say(f"{why} needs {', '.join(packages)} (names as in Debian); please install them with your system's tools.")
        return False
    if os.geteuid() != 0:
        _say(f"{why} needs Debian packages that are missing. Install them with:\n\n    {apt_line(packages)}\n")
        return False
    _say(f"{why} needs Debian packages; installing {' '.join(packages)} with apt (as root).")
    if _apt("install", *_APT_OPTIONS, *packages):
        return True
    _say("Refreshing apt's package lists and trying once more.")
    if _apt("update") and _apt("install", *_APT_OPTIONS, *packages):
        return True
    _say(f"apt could not install them. Try it by hand to see why:\n\n    {apt_line(packages)}\n")
    return False


def _apt(*arguments: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    command = ("apt-get", "-q", *arguments)
    try:
        # apt's words go to stderr: stdout belongs to the command that the user asked for.
        done = subprocess.run(command, env=environment, stdout=sys.stderr, timeout=APT_DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        _say(f"apt-get did not end within {APT_DEADLINE_SECONDS} s and was stopped.")
        return False
    return done.returncode == 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
