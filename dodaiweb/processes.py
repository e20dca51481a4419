"""Processes at the level of the kernel: what a child is, how it is born, and how none is forgotten."""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# prctl(2)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


class Restart(Enum):
    ALWAYS = "always"
    ON_FAILURE = "on failure"
    NEVER = "never"


@dataclass(frozen=True)
class Child:
    """What to run: a function in a forked process, or a program."""

    name: str
    function: Callable[[], object] | None = None
    program: tuple[str, ...] = ()
    restart: Restart = Restart.ALWAYS
    tries: int | None = None  # how many failures in a row are enough; None: never enough
    last: bool = False  # stopped only after the others: they need it
    output: Callable[[str], None] | None = None  # takes its lines instead of the log


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that it can be ended with the rest."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def fork(child: Child, *, keep_shared: bool) -> tuple[int, int]:
    """Start `child`; returns its pid and the descriptor (not blocking) from which its words are read."""
    read, write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    if keep_shared:
        gc.collect()
        gc.freeze()  # the collector's marks would copy every shared page
    supervisor = os.getpid()
    pid = os.fork()
    if not pid:
        _become(child, supervisor, write)
    os.close(write)
    os.set_blocking(read, False)
    return pid, read


def _become(child: Child, supervisor: int, output: int) -> NoReturn:
    """Be the child: in a session of its own, bound to the supervisor's life, with nothing of its open files."""
    code = 1
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(_PR_SET_NAME, child.name.encode())  # for ps and top; the kernel keeps 15 bytes
        if os.getppid() != supervisor:  # it died before the kernel was told
            os._exit(1)
        _reset_signals()
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if child.program:
            os.execv(child.program[0], child.program)  # noqa: S606 - no shell wanted
        code = _call(child)
    except BaseException:  # noqa: BLE001 - the child ends here, with the reason in the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _call(child: Child) -> int:
    assert child.function is not None, f"{child.name} is neither a function nor a program"
    try:
        child.function()
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except KeyboardInterrupt:
        return 0
    return 0


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _prctl(option: int, value: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def children_of(pid: int) -> list[int]:
    """The processes whose parent is `pid`, the ended ones that wait to be reaped among them."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue  # it has just ended
            if parent == pid:
                found.append(int(entry))
    return found
