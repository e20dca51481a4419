"""Runs a table of children: forks them, prefixes what they print, starts them again, and leaves none behind.

Everything heavy is imported once, before the first fork; `gc.freeze` keeps those pages shared. One thread, one
selector. Children lead sessions of their own, so that Ctrl-C reaches only the supervisor, and the kernel kills
them when the supervisor dies, however it dies.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType

from dodaiweb.processes import STOP_SIGNALS, Child, Restart, adopt_orphans, children_of, fork, kill, kill_group

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 20.0  # a child that ran so long starts again with the delay reset
LONGEST_LINE = 4096
GRACE_SECONDS = 6.0


class ChildFailed(Exception):
    """A child that was waited for ended badly."""


class Stopped(Exception):
    """Somebody asked the supervisor to stop."""


@dataclass
class _Running:
    child: Child
    pid: int
    pipe: int
    started: float
    failures: int
    partial: bytes = b""


@dataclass
class _Pending:
    child: Child
    due: float
    failures: int


@dataclass
class Supervisor:
    """Use as a context: leaving it stops and reaps every process below this one."""

    say: Callable[[str, str], None]  # gets the name of a process and one line
    _running: dict[int, _Running] = field(default_factory=dict)
    _pending: list[_Pending] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _stop_requests: int = 0

    def __enter__(self) -> "Supervisor":
        adopt_orphans()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, self._note_stop) for number in STOP_SIGNALS}
        self._old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop_all()
        signal.set_wakeup_fd(-1)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def start(self, child: Child) -> None:
        """Start `child` and look after it from now on."""
        self._codes.pop(child.name, None)
        self._launch(child, failures=0)

    def run(self) -> None:
        """Look after the children until somebody asks to stop."""
        while not self._stop_requests:
            self._turn(time.monotonic() + 3600)

    def complete(self, child: Child, *, seconds: float) -> None:
        """Run `child` to its end. Raises ChildFailed if that is a bad one or takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        self.start(child)
        while child.name not in self._codes:
            if time.monotonic() > deadline:
                raise ChildFailed(f"{child.name} did not end within {seconds:g} s")
            self.turn(deadline)
        if code := self._codes[child.name]:
            raise ChildFailed(f"{child.name} failed ({_ending(code)})")

    def turn(self, deadline: float) -> None:
        """Look after the children until something happened or `deadline` (monotonic). Raises Stopped."""
        self._turn(deadline)
        if self._stop_requests:
            raise Stopped

    def ended(self, name: str) -> bool:
        """Whether the child of that name has ended for good."""
        return name in self._codes

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1

    def _turn(self, deadline: float) -> None:
        due = min((pending.due for pending in self._pending), default=deadline)
        self._hear(0 if self._stop_requests else min(due, deadline) - time.monotonic())
        self._launch_due()

    def _hear(self, seconds: float) -> None:
        """Pass on what children print and bury those that have ended, waiting so long for the first such thing."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            else:
                self._read(self._running[key.data])
        self._reap()

    # Starting

    def _launch(self, child: Child, *, failures: int) -> None:
        pid, pipe = fork(child, keep_shared=not failures)
        self._running[pid] = _Running(child, pid, pipe, time.monotonic(), failures)
        self._selector.register(pipe, selectors.EVENT_READ, pid)

    def _launch_due(self) -> None:
        now = time.monotonic()
        due = [pending for pending in self._pending if pending.due <= now]
        self._pending = [pending for pending in self._pending if pending.due > now]
        for pending in due:
            self._launch(pending.child, failures=pending.failures)

    # What they print

    def _read(self, running: _Running) -> bool:
        """Pass on what the child has printed; False at the end of it."""
        try:
            chunk = os.read(running.pipe, 65536)
        except BlockingIOError:
            return False
        *lines, running.partial = (running.partial + chunk).split(b"\n")
        if len(running.partial) > LONGEST_LINE or not chunk:
            lines, running.partial = [*lines, running.partial], b""
        for line in lines:
            self._tell(running.child, line)
        if not chunk:
            self._selector.unregister(running.pipe)
        return bool(chunk)

    def _tell(self, child: Child, line: bytes) -> None:
        if text := printable(line):
            if child.output:
                child.output(text)
            else:
                self.say(child.name, text)

    # Ending

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if running := self._running.pop(pid, None):
                self._bury(running, os.waitstatus_to_exitcode(status))

    def _bury(self, running: _Running, code: int) -> None:
        while running.pipe in self._selector.get_map() and self._read(running):
            pass
        if running.partial:
            self._tell(running.child, running.partial)
        if running.pipe in self._selector.get_map():
            self._selector.unregister(running.pipe)
        os.close(running.pipe)
        kill_group(running.pid, signal.SIGKILL)  # what it started itself goes with it
        self._decide(running, code)

    def _decide(self, running: _Running, code: int) -> None:
        child, now = running.child, time.monotonic()
        if self._stop_requests or child.restart is Restart.NEVER or (child.restart is Restart.ON_FAILURE and not code):
            self._codes[child.name] = code
            return
        failures = 1 if now - running.started >= STEADY_SECONDS else running.failures + 1
        if child.tries and failures >= child.tries:
            self._codes[child.name] = code
            self.say(child.name, f"{_ending(code)}; not started again after {failures} failures")
            return
        delay = delay_after(failures)
        self.say(child.name, f"{_ending(code)}; starts again in {delay:g} s")
        self._pending.append(_Pending(child, now + delay, failures))

    def _stop_all(self) -> None:
        """End everything: the ordinary children first, then those that they need, then whatever is left below us."""
        self._stop_requests = max(self._stop_requests, 1)
        self._pending.clear()
        deadline = time.monotonic() + GRACE_SECONDS
        self._stop([pid for pid, running in self._running.items() if not running.child.last], deadline)
        self._stop(list(self._running), max(deadline, time.monotonic() + 1))
        self._kill_descendants(time.monotonic() + 2)

    def _stop(self, pids: Iterable[int], deadline: float) -> None:
        waiting = set(pids)
        asked = self._stop_requests
        for pid in waiting:
            kill(pid, signal.SIGTERM)
        while waiting & self._running.keys():
            if time.monotonic() > deadline or self._stop_requests > asked:  # a second Ctrl-C is in a hurry
                for pid in waiting & self._running.keys():
                    self.say(self._running[pid].child.name, "did not end when asked; killed")
                    kill_group(pid, signal.SIGKILL)
                deadline, asked = time.monotonic() + 1, self._stop_requests
            self._hear(min(deadline - time.monotonic(), 0.2))

    def _kill_descendants(self, deadline: float) -> None:
        while (pids := children_of(os.getpid())) and time.monotonic() < deadline:
            for pid in pids:
                kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.01)


def delay_after(failures: int) -> float:
    """Seconds to wait before a child starts again after so many failures in a row."""
    return float(min(FIRST_DELAY_SECONDS * 2 ** (failures - 1), LONGEST_DELAY_SECONDS))


def printable(line: bytes) -> str:
    """One line for a terminal: capped, and with nothing in it that could steer the terminal."""
    text = line[:LONGEST_LINE].decode(errors="replace").rstrip()
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in text)


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
