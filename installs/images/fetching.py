"""Fetches an image by URL: only to addresses that are allowed, to the very address that was checked, within caps."""

import http.client
import ipaddress
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from django.conf import settings

from dodaiweb import outbound

MAX_BYTES = 64 << 30
MAX_SECONDS = 12 * 3600
SILENCE_SECONDS = 30
SLOWEST_BYTES_PER_SECOND = 1024  # measured over a window
WINDOW_SECONDS = 60
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 18
PLAIN = "!#$%&'()*+,/:;=?@[]~"  # in the path and query of a URL as they are (RFC 3986, 2.2); other letters as UTF-8

Told = Callable[[int, int], None]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchProblem(Exception):
    """`again`: it may work later. The message says what happened and names no password."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


@dataclass(frozen=True)
class Place:
    scheme: str
    host: str
    port: int
    target: str


def checked(url: str) -> Place:
    """The parts of a URL that may be fetched. Raises FetchProblem; resolves nothing."""
    try:
        parts = urlsplit(url)
        port = parts.port or outbound.SCHEMES.get(parts.scheme, 0)
    except ValueError as problem:
        raise FetchProblem(f"this is no URL: {problem}") from problem
    if parts.scheme not in outbound.SCHEMES or not parts.hostname:
        raise FetchProblem("images are fetched by http:// or https:// only")
    if parts.username or parts.password:
        raise FetchProblem("the URL holds a user or a password: Dodai keeps and sends none, use an open address")
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise FetchProblem("the URL holds a space or a control character: write it as %20 and the like")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, parts.hostname, port, quote(target, safe=PLAIN))


def without_query(url: str) -> str:
    """What may be shown: queries often hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + ("?…" if parts.query else "")


def fetch(url: str, target: Path, told: Told) -> None:
    """Write what the URL holds to `target`, going on behind what is there already. Raises FetchProblem.

    `told(done, total)` hears bytes, total 0 where the server does not say; what it raises stops the fetch.
    """
    deadline = time.monotonic() + MAX_SECONDS
    try:
        _fetch(url, target, told, deadline)
    except (OSError, http.client.HTTPException, ssl.SSLError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        raise FetchProblem(
            f"{urlsplit(url).hostname} did not give the whole file: {reason or type(problem).__name__}", again=True
        ) from problem


def _fetch(url: str, target: Path, told: Told, deadline: float) -> None:
    for _ in range(MAX_REDIRECTS + 1):
        place = checked(url)
        held = target.stat().st_size if target.exists() and _validator(target) else 0
        connection = _connected(place)
        try:
            answer = _asked(connection, place, held, _validator(target))
            if answer.status in (301, 302, 303, 307, 308):
                url = urljoin(url, answer.headers.get("Location") or "")
                continue
            return _take(answer, target, held, told, deadline, place.host)
        finally:
            connection.close()
    raise FetchProblem(f"more than {MAX_REDIRECTS} redirects: give the address of the file itself")


def _connected(place: Place) -> http.client.HTTPConnection:
    """A connection to an address that was checked: the name is not resolved a second time."""
    addresses = tuple(str(address) for address in allowed_addresses(place.host, place.port))
    where = outbound.Destination(place.scheme, place.host, place.port, place.target, addresses)
    connection = outbound.Pinned(where, timeout=SILENCE_SECONDS)
    try:
        connection.reach()
    except OSError as problem:
        raise FetchProblem(f"{place.host} cannot be reached: {problem.strerror}", again=True) from problem
    connection.connect()
    return connection


def allowed_addresses(host: str, port: int) -> list[Address]:
    """Where a name leads, if all of it is allowed: public, or in DODAI_IMAGE_NETWORKS. Raises FetchProblem."""
    try:
        found = outbound.resolved(host, port)
    except outbound.OutboundError as problem:
        raise FetchProblem(f"the name {host} is not known: check it, or the name server", again=True) from problem
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    for address in addresses:
        if not _may_ask(address):
            raise FetchProblem(
                f"{host} is {address}, which is no public address: Dodai fetches from there only if "
                f"DODAI_IMAGE_NETWORKS names its network, for instance {address}/{address.max_prefixlen}"
            )
    return list(dict.fromkeys(addresses))


def _may_ask(address: Address) -> bool:
    address = outbound.innermost(address)
    if any(address in network for network in settings.IMAGE_NETWORKS):
        return True
    return address.is_global and not address.is_multicast


def _validator(target: Path) -> str:
    """What names the version of the file that was begun; without one nothing is gone on with (RFC 9110, 13.1.5)."""
    try:
        return target.with_suffix(".version").read_text()
    except FileNotFoundError:
        return ""


def _note_validator(answer: http.client.HTTPResponse, target: Path) -> None:
    tag = answer.headers.get("ETag") or ""
    name = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified") or ""
    target.with_suffix(".version").write_text(name if name.isprintable() else "")


def _asked(
    connection: http.client.HTTPConnection, place: Place, held: int, version: str
) -> http.client.HTTPResponse:  # fmt: skip
    headers = {"User-Agent": "Dodai", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
    if held:
        headers |= {"Range": f"bytes={held}-", "If-Range": version}
    connection.request("GET", place.target, headers=headers)
    return connection.getresponse()


def _take(
    answer: http.client.HTTPResponse, target: Path, held: int, told: Told, deadline: float, host: str
) -> None:  # fmt: skip
    if answer.status == 416 and held:  # nothing behind what we have, or another file: begin again
        target.unlink()
        raise FetchProblem(f"{host} has another file than before", again=True)
    if answer.status not in (200, 206):
        raise FetchProblem(f"{host} answered HTTP {answer.status}", again=answer.status >= 500 or answer.status == 429)
    if answer.status == 200:
        held = 0
        _note_validator(answer, target)
    elif not (answer.headers.get("Content-Range") or "").startswith(f"bytes {held}-"):
        target.unlink()
        raise FetchProblem(f"{host} sent another part of the file than was asked for", again=True)
    length = answer.length
    total = held + length if length is not None else 0
    if total > MAX_BYTES:
        raise FetchProblem(f"the file is larger than {MAX_BYTES >> 30} GiB")
    with target.open("r+b" if held else "wb") as file:
        file.seek(held)
        for chunk in _chunks(answer, deadline, host):
            file.write(chunk)
            held += len(chunk)
            if held > MAX_BYTES:
                raise FetchProblem(f"the file is larger than {MAX_BYTES >> 30} GiB")
            told(held, total)
    if total and held != total:
        raise FetchProblem(f"{host} ended after {held} of {total} bytes", again=True)


def _chunks(answer: http.client.HTTPResponse, deadline: float, host: str) -> Iterator[bytes]:
    since, got = time.monotonic(), 0
    while chunk := answer.read1(CHUNK_BYTES):
        yield chunk
        got += len(chunk)
        moment = time.monotonic()
        if moment > deadline:
            raise FetchProblem(f"the file was not there after {MAX_SECONDS // 3600} hours")
        if moment - since > WINDOW_SECONDS:
            if got < SLOWEST_BYTES_PER_SECOND * WINDOW_SECONDS:
                raise FetchProblem(f"{host} sends less than {SLOWEST_BYTES_PER_SECOND} bytes a second", again=True)
            since, got = moment, 0
