"""Runs one call to a device (a BMC, a switch) in a process of its own, with a deadline.

Libraries keep sessions, locks and sockets in globals that do not survive a dead device or a second log-in.
In a child that lives for one call none of that can reach the next one, and a hung call is simply killed.
"""

import ctypes
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from machines.clock import boot_seconds

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Kind:
    """The kind of device that is called: `errors` by what they are raised, the first for whatever else goes wrong."""

    device: str
    seconds: float
    errors: tuple[type[Exception], ...]
    not_there: str = "is its address right, is it plugged in?"
    memory_mib: int | None = None
    """How much more than at its start the call may take, however much the device says."""


_not_after: ContextVar[float | None] = ContextVar("not_after", default=None)


@contextmanager
def only_for(seconds: float) -> Iterator[None]:
    """Calls that begin in here and do not get to speak to their device within `seconds` fail with their kind's error.

    Who holds a lease was perhaps frozen since it was renewed: what it was about to say is no longer its own to say.
    """
    token = _not_after.set(boot_seconds() + seconds)
    try:
        yield
    finally:
        _not_after.reset(token)


def call_in_child(function: Callable[[], Any], kind: Kind, *, whom: str, seconds: float | None = None) -> Any:
    """What `function` returns (something that pickles). Raises the kind's errors, the first one after its seconds."""
    seconds = kind.seconds if seconds is None else seconds
    failed, known = kind.errors[0], {error.__name__: error for error in kind.errors}
    ours, theirs = _fork.Pipe(duplex=False)
    child = _fork.Process(target=_run, args=(function, kind, theirs, os.getpid()), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise failed(f"{whom} did not answer within {seconds:.0f} s: {kind.not_there}")
        try:
            name, value = ours.recv()
        except EOFError as exc:
            raise failed(f"{whom}: the call ended without an answer") from exc
    finally:
        child.kill()
        child.join()
        ours.close()
    if name == "ok":
        return value
    raise known[name](value)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent goes, even by SIGKILL (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _run(function: Callable[[], Any], kind: Kind, answer: Connection, parent: int) -> None:
    die_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    failed = kind.errors[0]
    try:
        _limit_memory(kind.memory_mib)
        _require_time(failed)
        answer.send(("ok", function()))
    except kind.errors as exc:
        name = next(cls.__name__ for cls in type(exc).__mro__ if cls in kind.errors)
        answer.send((name, str(exc)))
    except Exception as exc:  # noqa: BLE001 - a hostile answer can raise anything inside the library
        answer.send((failed.__name__, f"unexpected answer of the {kind.device} ({type(exc).__name__})"))


def _limit_memory(mib: int | None) -> None:
    if mib is not None:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = now + (mib << 20)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _require_time(failed: type[Exception]) -> None:
    not_after = _not_after.get()
    if not_after is not None and boot_seconds() > not_after:
        raise failed("this process stood still for so long that others may have gone on: nothing was sent")
