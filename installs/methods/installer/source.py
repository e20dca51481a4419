"""Where an image's answer file is: in the image, at a URL, or in a file of the server. Read anew at each install."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from django.utils.translation import gettext as _

from dodaiweb import outbound
from installs.images import fetching, imports

LONGEST_BYTES = 256 << 10
SECONDS, SILENCE_SECONDS = 6.0, 4.0  # of a step, which is over within seconds
MOST_REDIRECTS = 3
WHOLE_PLACE = "whole_place"  # the secret of an image: its query often holds a key


class NoSource(Exception):
    """The text could not be read. The message is for the operator; `again`: it may be there later."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


def split(place: str) -> tuple[str, str]:
    """(what may be shown, the whole URL): the second is a secret, "" where the place has no query."""
    shown, _mark, query = place.partition("?")
    return (shown, place) if query and "://" in place else (place, "")


def text_of(metadata: dict[str, Any], secrets: dict[str, Any] | None = None) -> str:
    """The template as it is now; `secrets` of the image may have the place with its query. Raises NoSource."""
    place, whole = str(metadata.get("place") or ""), str((secrets or {}).get(WHOLE_PLACE) or "")
    if place and split(whole)[0] == place:  # a key that was for another place is not sent to this one
        place = whole
    if not place:
        return str(metadata.get("answers") or "")
    raw = _from_url(place) if "://" in place else _from_file(place)
    if len(raw) > LONGEST_BYTES:
        raise NoSource(_("The answer file is larger than %(most)d KiB.") % {"most": LONGEST_BYTES >> 10})
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NoSource(_("The answer file is not UTF-8 text.")) from None


def _from_file(place: str) -> bytes:
    try:
        path: Path = imports.allowed_file(place)
        with path.open("rb") as file:
            return file.read(LONGEST_BYTES + 1)
    except imports.Refused as problem:
        raise NoSource(str(problem)) from None
    except OSError as problem:
        words = _("The answer file %(path)s cannot be read: %(why)s.")
        raise NoSource(words % {"path": place, "why": problem.strerror}) from None


def _from_url(url: str) -> bytes:
    """Each redirect is judged afresh, and the address that was judged is the one that is called."""
    end = time.monotonic() + SECONDS
    try:
        for _turn in range(MOST_REDIRECTS + 1):
            with _asked(url) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, answer.headers.get("Location") or "")
                    continue
                return _body(answer, url, end)
    except fetching.FetchProblem as problem:
        raise NoSource(str(problem), again=problem.again) from None
    except (OSError, http.client.HTTPException) as problem:
        words = _("%(host)s did not give the answer file: %(why)s.")
        why = getattr(problem, "strerror", None) or type(problem).__name__
        raise NoSource(words % {"host": fetching.checked(url).host, "why": why}, again=True) from None
    raise NoSource(_("The answer file is behind more than %(n)d redirects.") % {"n": MOST_REDIRECTS})


@contextmanager
def _asked(url: str) -> Iterator[http.client.HTTPResponse]:
    """Raises FetchProblem where the address may not be called."""
    place = fetching.checked(url)
    addresses = tuple(str(address) for address in fetching.allowed_addresses(place.host, place.port))
    where = outbound.Destination(place.scheme, place.host, place.port, place.target, addresses)
    connection = outbound.Pinned(where, timeout=SILENCE_SECONDS)
    try:
        headers = {
            "User-Agent": "Dodai",
            "Accept": "text/plain, */*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        connection.request("GET", place.target, headers=headers)
        yield connection.getresponse()
    finally:
        connection.close()


def _body(answer: http.client.HTTPResponse, url: str, end: float) -> bytes:
    host = fetching.checked(url).host
    if answer.status != 200:
        words = _("%(host)s answered HTTP %(status)d for the answer file.")
        raise NoSource(words % {"host": host, "status": answer.status}, again=answer.status >= 500)
    kept = b""
    while len(kept) <= LONGEST_BYTES and (piece := answer.read1(LONGEST_BYTES)):
        kept += piece
        if time.monotonic() > end:
            raise NoSource(_("%(host)s sends the answer file too slowly.") % {"host": host}, again=True)
    return kept
