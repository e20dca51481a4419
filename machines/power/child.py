"""Runs one call to a BMC in a process of its own, with a deadline.

pyghmi keeps sessions, locks and sockets in globals that do not survive a dead BMC or a second log-in.
In a child that lives for one call none of that can reach the next one, and a hung call is simply killed.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing.connection import Connection
from typing import Any

from machines.clock import boot_seconds
from machines.power.base import NeedsOperator, PowerError, PowerRefused

DEADLINE_SECONDS = 7.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h

_fork = multiprocessing.get_context("fork")
_errors = {cls.__name__: cls for cls in (PowerError, PowerRefused, NeedsOperator)}


_not_after: ContextVar[float | None] = ContextVar("not_after", default=None)


@contextmanager
def only_for(seconds: float) -> Iterator[None]:
    """Calls that begin in here and do not get to speak to their BMC within `seconds` raise PowerError instead.

    Who holds a lease was perhaps frozen since it was renewed: what it was about to say is no longer its own to say.
    """
    token = _not_after.set(boot_seconds() + seconds)
    try:
        yield
    finally:
        _not_after.reset(token)


def call_in_child(function: Callable[[], Any], *, whom: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """What `function` returns (something that pickles). Raises PowerError after `seconds`, or what it raised."""
    ours, theirs = _fork.Pipe(duplex=False)
    child = _fork.Process(target=_run, args=(function, theirs, os.getpid()), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise PowerError(f"{whom} did not answer within {seconds:.0f} s: is its address right, is it plugged in?")
        try:
            kind, value = ours.recv()
        except EOFError as exc:
            raise PowerError(f"{whom}: the call ended without an answer") from exc
    finally:
        child.kill()
        child.join()
        ours.close()
    if kind == "ok":
        return value
    raise _errors[kind](value)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent goes, even by SIGKILL (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _run(function: Callable[[], Any], answer: Connection, parent: int) -> None:
    die_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    try:
        _require_time()
        answer.send(("ok", function()))
    except PowerError as exc:
        answer.send((type(exc).__name__, str(exc)))
    except Exception as exc:  # noqa: BLE001 - a hostile answer can raise anything inside the library
        answer.send((PowerError.__name__, f"unexpected answer of the BMC ({type(exc).__name__})"))


def _require_time() -> None:
    not_after = _not_after.get()
    if not_after is not None and boot_seconds() > not_after:
        raise PowerError("this process stood still for so long that others may have gone on: nothing was sent")
