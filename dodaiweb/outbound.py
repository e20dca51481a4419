"""HTTP to addresses that people typed in. A name is resolved once, judged, and connected to as it was judged.

Nothing of ours goes along: no cookie, no credential, no proxy of the environment. Redirects are answers like others:
whoever follows one has it judged afresh, by another call. Messages name the host only, as paths often hold secrets.
"""

import errno
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

SCHEMES = {"http": 80, "https": 443}
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last four bytes
TRIED_ADDRESSES = 3
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # where the caller writes to, not the network

Address = IPv4Address | IPv6Address


class OutboundError(Exception):
    """No answer came. The message is for the operator."""


class Forbidden(OutboundError):
    """This address may not be called at all; trying again cannot help."""


@dataclass(frozen=True)
class Destination:
    """Where a URL leads. `addresses` are those that may be connected to."""

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]


def destination(url: str, *, private: bool) -> Destination:
    """What a URL means right now. `private`: addresses that only this network knows are allowed.

    Raises Forbidden, or OutboundError where the name does not resolve.
    """
    scheme, host, port, target = parts_of(url)
    found = resolved(host, port)
    allowed = tuple(address for address in found if is_allowed(address, private=private))
    if not allowed:
        raise Forbidden(_why_not(host, found[0], private=private))
    return Destination(scheme, host, port, target, allowed)


def parts_of(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and path with query. Looks nothing up. Raises Forbidden where it is no plain HTTP URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise Forbidden(f"this is no URL: {exc}") from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise Forbidden("the URL must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise Forbidden("the URL must not carry a user or password before the host")
    if not url.isascii() or any(character <= " " for character in url):
        raise Forbidden("the URL must not contain blanks or letters beyond ASCII: write them %-encoded")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port or SCHEMES[parts.scheme], target


def is_allowed(address: str, *, private: bool) -> bool:
    """Whether an IP address may be called: never link-local (where clouds keep secrets) or multicast."""
    ip = innermost(ip_address(address.partition("%")[0]))
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or _is_reserved(ip):
        return False
    return private or ip.is_global


@contextmanager
def opened(
    method: str,
    url: str,
    *,
    private: bool,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    silence_seconds: float = 10,
    total_seconds: float | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request, whatever its status; its body is still to be read, with a cap.

    `silence_seconds` bounds connecting and each wait for bytes, `total_seconds` the whole. Raises OutboundError, also
    out of the block where reading fails.
    """
    where = destination(url, private=private)
    connection = Pinned(where, timeout=silence_seconds)
    try:
        with _within(total_seconds, connection):
            connection.request(method, where.target, body=body, headers={"Connection": "close", **(headers or {})})
            yield connection.getresponse()
    except _OutOfTime:
        raise OutboundError(f"{where.host} took longer than {total_seconds:g} s") from None
    except (OSError, http.client.HTTPException) as exc:
        if getattr(exc, "errno", None) in OF_THE_DISK:
            raise
        raise OutboundError(_what_failed(where, exc)) from None
    finally:
        connection.close()


class _OutOfTime(Exception):
    pass


class Pinned(http.client.HTTPConnection):
    """Connects to the judged addresses; the name is only for the Host header and the certificate."""

    def __init__(self, where: Destination, *, timeout: float) -> None:
        super().__init__(where.host, where.port, timeout=timeout)
        self._where = where
        self.default_port = SCHEMES[where.scheme]  # so that the Host header names no port it need not

    def connect(self) -> None:
        if self.sock is None:
            self.reach()
        if self._where.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._where.host)

    def reach(self) -> None:
        """The first half of `connect`, for who tells its failures from those of TLS. Raises the last OSError."""
        for address in self._where.addresses[:TRIED_ADDRESSES]:
            try:
                self.sock = socket.create_connection((address, self._where.port), timeout=self.timeout)
            except OSError as exc:
                failure = exc
            else:
                return
        raise failure


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order of the resolver, each once. Raises OutboundError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise OutboundError(f"the name {host} could not be resolved ({getattr(exc, 'strerror', exc)})") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def innermost(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(ip, IPv4Address):
        return ip
    inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if inner is None and ip in NAT64:
        inner = IPv4Address(ip.packed[-4:])
    return inner or ip


def _is_reserved(ip: Address) -> bool:
    """Python counts the loopback ::1 in with IPv6's reserved addresses."""
    return ip.is_reserved and not ip.is_loopback


def _why_not(host: str, address: str, *, private: bool) -> str:
    if not private and is_allowed(address, private=True):
        return f"{host} is {address}, an address of this network: allow private addresses if that is meant"
    return f"{host} is {address}, which is never called"


@contextmanager
def _within(seconds: float | None, connection: Pinned) -> Iterator[None]:
    """Cut the connection after so long. What is read then looks like an early end: the clock decides what it was."""
    if seconds is None:
        yield
        return
    out_of_time = threading.Event()
    timer = threading.Timer(seconds, _cut, [connection, out_of_time])
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not out_of_time.is_set():
            raise
    finally:
        timer.cancel()
    if out_of_time.is_set():
        raise _OutOfTime


def _what_failed(where: Destination, exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return f"{where.host} did not answer in time"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate of {where.host} is not good: {exc.verify_message}"
    if isinstance(exc, http.client.HTTPException):
        return f"{where.host} answered something that is not HTTP ({type(exc).__name__})"
    return f"{where.host}, port {where.port}: {getattr(exc, 'strerror', None) or type(exc).__name__}"


def _cut(connection: Pinned, out_of_time: threading.Event) -> None:
    out_of_time.set()
    if connection.sock:
        with suppress(OSError):  # it had ended by itself
            connection.sock.shutdown(socket.SHUT_RDWR)
