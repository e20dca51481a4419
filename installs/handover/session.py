"""Goes into an OS over SSH, as root, by one key, and only if it shows a host key that is known. It knows no database.

All of it happens in a child process with a deadline: a hostile or half-dead server can hold or crash the library, and
then holds or crashes nothing else.
"""

import importlib
import io
import logging
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from installs.handover.outcome import CONNECT, OWN_KEY, Done, End, Outcome
from machines.child import Kind, call_in_child
from machines.network.base import plain

CONNECT_SECONDS, WHOLE_SECONDS, OVERTIME_SECONDS = 5.0, 60.0, 5.0
MEMORY_MIB = 512  # of addresses: each of its threads reserves some for itself
LONGEST_OUTPUT = 64 << 10  # bytes of one step
LOGGERS = ("paramiko", "paramiko.transport")  # they log what a server says, as it comes

Transport = Any  # paramiko's, which is imported only where it is used


class Silent(Exception):
    pass


class WrongHost(Exception):
    pass


class Refused(Exception):
    pass


class Failed(Exception):
    pass


ENDS = {Silent: End.SILENT, WrongHost: End.WRONG_HOST, Refused: End.REFUSED, Failed: End.FAILED}


@dataclass(frozen=True)
class Door:
    """Where an OS answers, and by what. `host_keys` are lines of type and base64, `private_key` is OpenSSH's text."""

    host: str
    host_keys: tuple[str, ...]
    private_key: str = field(repr=False)
    port: int = 22

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


@dataclass(frozen=True)
class Order:
    """A step in the OS: a program for any sh. Where something is `expected`, it must say exactly that."""

    name: str
    program: str = field(repr=False)
    expected: str | None = None


def go_in(door: Door, orders: Sequence[Order]) -> Outcome:
    """Do all in this order; after the one named OWN_KEY nobody gets in by the key any more. Raises nothing."""
    importlib.import_module("paramiko")  # here, not in the child: once a process instead of once a call
    heard, tell = multiprocessing.get_context("fork").Pipe(duplex=False)
    kind = Kind("OS", WHOLE_SECONDS, tuple(ENDS), not_there="does it run?", memory_mib=MEMORY_MIB)
    end, cause = End.DONE, ""
    try:
        whole = WHOLE_SECONDS + OVERTIME_SECONDS
        call_in_child(lambda: _all(door, orders, tell), kind, whom=str(door), seconds=whole)
    except tuple(ENDS) as exc:
        end, cause = ENDS[type(exc)], plain(exc)
    finally:
        tell.close()
    done = tuple(_heard(heard))
    names = (CONNECT, *(order.name for order in orders))
    return Outcome(end, done, failed_step=names[len(done)] if cause else "", cause=cause)


def _heard(heard: Connection) -> Iterator[Done]:
    """What the child told before it ended, however it ended."""
    with heard, suppress(EOFError, OSError):
        while heard.poll():
            yield heard.recv()


def _all(door: Door, orders: Sequence[Order], tell: Connection) -> None:
    """In the child."""
    for name in LOGGERS:
        logging.getLogger(name).disabled, logging.getLogger(name).propagate = True, False
    until = time.monotonic() + WHOLE_SECONDS
    with _told(CONNECT, tell):
        transport = _connect(door)
    try:
        for order in orders:
            with _told(order.name, tell) as said:
                said.append(_do(transport, order, until))
                if order.name == OWN_KEY:
                    _check_refused(door)
    finally:
        transport.close()


@contextmanager
def _told(name: str, tell: Connection) -> Iterator[list[str]]:
    said: list[str] = []
    began = time.monotonic()
    yield said
    tell.send(Done(name, round(time.monotonic() - began, 3), "".join(said)))


def _connect(door: Door) -> Transport:
    """Raises Silent, WrongHost (before anything is told to it) or Refused."""
    import paramiko

    try:
        sock = socket.create_connection((door.host, door.port), timeout=CONNECT_SECONDS)
    except OSError as exc:
        raise Silent(f"{door} does not answer ({exc.strerror or type(exc).__name__})") from exc
    transport = paramiko.Transport(sock)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = CONNECT_SECONDS
    try:
        transport.get_security_options().key_types = _algorithms(door.host_keys)
        _greet(door, transport)
        _log_in(door, transport)
    except BaseException:
        transport.close()
        raise
    return transport


def _algorithms(host_keys: Sequence[str]) -> tuple[str, ...]:
    """By which of them the server is to prove that it has the key: one with several keys then shows a known one."""
    kinds = {line.partition(" ")[0] for line in host_keys}
    rsa = ("rsa-sha2-512", "rsa-sha2-256") if "ssh-rsa" in kinds else ()
    return (*sorted(kinds - {"ssh-rsa"}, key=lambda kind: kind != "ssh-ed25519"), *rsa)


def _greet(door: Door, transport: Transport) -> None:
    import paramiko

    try:
        transport.start_client(timeout=CONNECT_SECONDS)
        if not transport.initial_kex_done:
            raise Silent(f"{door} takes connections, but its SSH server does not answer")
        shown = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as exc:
        if isinstance(exc, paramiko.IncompatiblePeer) and "host key" in str(exc):
            raise _wrong_host(door) from exc
        raise Silent(f"{door} did not answer like an SSH server ({type(exc).__name__})") from exc
    if f"{shown.get_name()} {shown.get_base64()}" not in door.host_keys:
        raise _wrong_host(door)


def _wrong_host(door: Door) -> WrongHost:
    return WrongHost(f"{door} shows none of the SSH host keys that its OS told: nothing was told to it")


def _log_in(door: Door, transport: Transport) -> None:
    import paramiko

    key = paramiko.Ed25519Key.from_private_key(io.StringIO(door.private_key))
    try:
        transport.auth_publickey("root", key)
    except (paramiko.SSHException, OSError, EOFError) as exc:
        # The library names silence and a broken connection alike.
        is_no = isinstance(exc, paramiko.AuthenticationException) and "timeout" not in str(exc).lower()
        if not (is_no and transport.is_active()):
            raise Silent(f"{door} fell silent while Dodai logged in") from exc
    if not transport.is_authenticated():
        raise Refused(f"{door} does not take the machine's own key")


def _do(transport: Transport, order: Order, until: float) -> str:
    """What it said at last. Raises Failed or Silent."""
    import paramiko

    try:
        status, said = _run(transport, order.program, until)
    except (paramiko.SSHException, OSError, EOFError) as exc:
        raise Silent("it fell silent, or the connection broke") from exc
    if status < 0:
        raise Silent("the connection broke")
    words = plain(said.splitlines()[-1] if said.strip() else "")
    if status:
        raise Failed(words or f"its program ended with {status}")
    if order.expected is not None and said != order.expected:
        raise Failed(f"it says {plain(said)!r} instead of {plain(order.expected)!r}")
    return words if order.expected is None else ""


def _run(transport: Transport, program: str, until: float) -> tuple[int, str]:
    """Exit status (negative: unknown) and output."""
    with transport.open_session(timeout=_left(until)) as channel:
        channel.set_combine_stderr(True)
        channel.settimeout(_left(until))
        channel.exec_command("exec sh -s")
        channel.sendall(program.encode())
        channel.shutdown_write()
        said = _read(lambda: _some(channel, until))
        if not channel.status_event.wait(_left(until)):
            raise Silent("it did not end")
        return int(channel.exit_status), said.decode(errors="replace")


def _some(channel: Any, until: float) -> bytes:
    channel.settimeout(_left(until))
    return bytes(channel.recv(8192))


def _read(some: Callable[[], bytes]) -> bytes:
    said = b""
    while more := some():
        said += more
        if len(said) > LONGEST_OUTPUT:
            raise Failed(f"it said more than {LONGEST_OUTPUT >> 10} KiB")
    return said


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise Silent(f"it was not done within {WHOLE_SECONDS:.0f} s")
    return left


def _check_refused(door: Door) -> None:
    """A connection of its own, by the key that was taken away."""
    try:
        _connect(door).close()
    except Refused:
        return
    except (Silent, WrongHost) as exc:
        raise Failed(f"whether the key still opens it could not be found out: {exc}") from exc
    raise Failed("its SSH server still takes the key that was removed")
