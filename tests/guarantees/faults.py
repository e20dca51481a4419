"""Fault points at the boundaries of the program, for the processes that `faulty_up.py` starts. The product has none.

Every call of a power driver, every word to a switch, every process that speaks to a BMC, every commit, every call to
the queue, every job, every file that is made durable and every word of how far a copy is: each is a point, before and
after. A step that is written tomorrow passes the same boundaries. Which points an install passes is recorded, so the
matrix is computed.

The folder DODAI_TEST_FAULTS holds `armed/` (a file of JSON for each fault), `fired/` (those that struck, with the
time in them), `record` (if it is there, every pass is noted in it) and `supervisor` (its pid).
"""

import functools
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dodaiweb.processes import children_of

FOLDER = "DODAI_TEST_FAULTS"
PRODUCT = ("installs", "machines", "dodaiweb")
BELOW_THE_VERBS = ("machines.doorbell", "installs.rows", "installs.models.record")
VICTIMS = ("self", "workers", "web", "provision", "watchdog", "copy_images", "valkey", "all")
_speaking_of = ""  # the driver's method that a process for a BMC will carry out


@dataclass(frozen=True)
class Fault:
    """At the `nth` pass of `point` the `victim` gets the signal `number`."""

    point: str
    victim: str = "self"
    number: int = signal.SIGKILL
    nth: int = 1

    def __str__(self) -> str:
        return f"{signal.Signals(self.number).name} of {self.victim} at {self.point}, pass {self.nth}"


def arm(folder: Path, fault: Fault, name: str) -> None:
    half = folder / f".{name}"
    half.write_text(json.dumps(asdict(fault)))
    half.rename(folder / "armed" / name)


def fired(folder: Path, name: str) -> dict[str, Any] | None:
    """Its time and the process it struck; None if it has not."""
    path = folder / "fired" / name
    return json.loads(path.read_text()) if path.exists() else None


def passes(folder: Path) -> list[tuple[str, str]]:
    """(process, point), in order, since recording began."""
    return [tuple(line.split(" ", 1)) for line in (folder / "record").read_text().splitlines()]  # type: ignore[misc]


def place() -> None:
    """Wrap the boundaries in this process and in all it will fork."""
    _power_drivers()
    _network_drivers()
    _database()
    _queue()
    _files()
    _copies()


def at(point: str) -> None:
    """This process passes `point`."""
    folder = Path(os.environ[FOLDER])
    if (folder / "record").exists():
        _append(folder / "record", f"{_own_name()} {point}\n")
    for name in os.listdir(folder / "armed"):
        try:
            fault = Fault(**json.loads((folder / "armed" / name).read_text()))
        except FileNotFoundError:
            continue  # somebody else was struck by it
        if fault.point == point and _append(folder / "count" / name, ".") == fault.nth:
            _fire(folder, name, fault)


def _fire(folder: Path, name: str, fault: Fault) -> None:
    struck = _pids_of(fault.victim, int((folder / "supervisor").read_text()))
    half = folder / f".fired-{name}"
    half.write_text(json.dumps({"at": time.time(), "struck": struck, "process": _own_name()}))
    half.rename(folder / "fired" / name)
    (folder / "armed" / name).unlink()
    for pid in struck:
        os.kill(pid, fault.number)


def _pids_of(victim: str, supervisor: int) -> list[int]:
    """This process last, if it is among them: nothing would strike the others."""
    match victim:
        case "self":
            return [os.getpid()]
        case "all":
            return [supervisor, os.getpid()]  # the kernel ends what is below the supervisor
    named = [pid for pid in children_of(supervisor) if _name(pid).startswith(victim.rstrip("s"))]
    return sorted(named, key=lambda pid: pid == os.getpid())


def _power_drivers() -> None:
    from machines import child
    from machines.power import DRIVERS
    from machines.power.base import PowerDriver

    for driver in DRIVERS.values():
        for method in PowerDriver.__abstractmethods__:
            setattr(driver, method, _around_power(method, getattr(driver, method)))
    carry_out = child._run

    def run(function: Callable[[], Any], kind: child.Kind, answer: Any, parent: int) -> None:
        def between() -> Any:
            at(f"bmc:{_speaking_of}:before")
            value = function()
            at(f"bmc:{_speaking_of}:after")
            return value

        carry_out(between if kind.device == "BMC" else function, kind, answer, parent)

    child._run = run


def _network_drivers() -> None:
    from machines.network.fake import FakeNetwork

    for method in ("read", "attach", "detach"):
        _wrap(FakeNetwork, method, lambda *_, which=method: f"port:{which}")


def _around_power(method: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        global _speaking_of
        _speaking_of = method
        at(f"power:{method}:before")
        value = call(*args, **kwargs)
        at(f"power:{method}:after")
        return value

    return wrapped


def _database() -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    _wrap(BaseDatabaseWrapper, "commit", lambda connection: f"commit:{_caller()}")

    def written(cursor: Any, sql: Any, *_: Any) -> str:
        alone = not cursor.db.in_atomic_block and str(sql).lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE")
        return f"write:{_caller()}" if alone else ""

    _wrap(CursorWrapper, "execute", written)


def _queue() -> None:
    import redis
    import rq
    import rq.worker

    _wrap(rq.Queue, "enqueue_call", lambda *_, **__: f"queue:enqueue:{_caller()}")
    _wrap(redis.Redis, "publish", lambda *_: f"queue:publish:{_caller()}")
    _wrap(rq.SimpleWorker, "perform_job", lambda worker, job, queue: f"job:{job.func_name}")


def _files() -> None:
    for name in ("fsync", "replace", "rename", "link"):
        _wrap(os, name, lambda *_, which=name, **__: f"file:{which}:{_caller()}" if _caller() else "")


def _copies() -> None:
    from installs.iscsi import copying

    _wrap(copying._Beat, "told", lambda *_: "copy:told")


def _wrap(owner: Any, name: str, point: Callable[..., str]) -> None:
    """Make `owner.name` pass a point before and after; none where `point` says ""."""
    call = getattr(owner, name)

    @functools.wraps(call)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        passed = point(*args, **kwargs)
        if not passed:
            return call(*args, **kwargs)
        at(f"{passed}:before")
        value = call(*args, **kwargs)
        at(f"{passed}:after")
        return value

    setattr(owner, name, wrapped)


def _caller() -> str:
    """The product's function nearest to the boundary; "" where only libraries are at work."""
    frame = inspect.currentframe()
    while frame := frame and frame.f_back:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in PRODUCT and module not in BELOW_THE_VERBS:
            return f"{module}.{frame.f_code.co_name}"
    return ""


def _own_name() -> str:
    return _name(os.getpid())


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _append(path: Path, text: str) -> int:
    """Returns how long the file is afterwards; at once, whoever else writes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)


def prepare(folder: Path) -> None:
    for name in ("armed", "fired", "count"):
        (folder / name).mkdir(parents=True)


assert sys.platform == "linux", "processes are found under /proc"
