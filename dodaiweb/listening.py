"""Addresses to listen on: found free before anything starts, and seen to answer before anyone is told."""

import errno
import http.client
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass


class AddressProblem(Exception):
    """An address cannot be listened on; the text names it and the option to change."""


@dataclass(frozen=True)
class Address:
    """One place to listen on."""

    name: str  # who listens there, for messages
    host: str
    port: int
    option: str  # what the operator changes when it is taken

    @property
    def reachable_host(self) -> str:
        """Where this computer reaches a listener that is bound to every address."""
        return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104


def require_free(addresses: Sequence[Address]) -> None:
    """Raise AddressProblem for the first of `addresses` that cannot be listened on."""
    taken: dict[int, Address] = {}
    for address in addresses:
        if other := taken.get(address.port):
            raise AddressProblem(
                f"Port {address.port} is asked for twice: {other.name} and {address.name}. "
                f"Choose another with {address.option}."
            )
        taken[address.port] = address
        _try_to_bind(address)


def answer(address: Address, path: str, *, deadline: float) -> int | None:
    """The status of an HTTP server's answer to a GET of `path`; None if there is none before `deadline` (monotonic)."""
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    return None


def _try_to_bind(address: Address) -> None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no hindrance
            probe.bind(where)
            probe.listen(1)
    except (OSError, UnicodeError) as error:
        raise AddressProblem(_why(address, error)) from error


def _why(address: Address, error: Exception) -> str:
    where = f"port {address.port} on {address.host or 'every address'}"
    host_option = address.option.replace("port", "host")
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return f"{address.name}: {where} is in use by another program. Choose another with {address.option} N."
        case OSError(errno=errno.EACCES):
            return f"{address.name}: {where} needs root. Choose one above 1023 with {address.option} N."
        case OSError(errno=errno.EADDRNOTAVAIL) | socket.gaierror() | UnicodeError():
            return f"{address.name}: {address.host!r} is no address of this computer. Choose one with {host_option}."
        case OSError(errno=int(number)):
            return f"{address.name}: cannot listen on {where}: {os.strerror(number)}. See {address.option}."
    return f"{address.name}: cannot listen on {where}: {error}. See {address.option} and {host_option}."
