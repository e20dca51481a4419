"""Talks Redfish (DSP0266) with one BMC: one log-in, a few requests, log-out, all within a deadline.

What comes back is not trusted: answers are capped, redirects refused, paths must stay below /redfish/ on the same
host, and neither the proxy nor the .netrc of this computer's user is used.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from machines.power.base import BmcEndpoint, PowerError, PowerRefused

ROOT = "/redfish/v1/"  # DSP0266, 6.6
SECONDS = 6.0  # for everything together; below the seven after which the call's process is killed
LOG_OUT_SECONDS = 0.8
LARGEST_ANSWER = 1 << 20
WORDS_SHOWN = 200
REFUSED, DENIED, NOT_FOUND, CHANGED, NOT_ALLOWED, NOT_IMPLEMENTED = 401, 403, 404, 412, 405, 501
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})

Body = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One answer of the BMC: its JSON object ({} where there was none), its path and its entity tag."""

    path: str
    body: Body
    etag: str = ""


class RedfishClient:
    """Use as a context: entering logs in, leaving ends the session at the BMC.

    Every method raises PowerError (try again) or PowerRefused (do not), with the machine and the BMC in its words.
    """

    def __init__(self, endpoint: BmcEndpoint, *, seconds: float = SECONDS) -> None:
        self._endpoint, self.whom = endpoint, str(endpoint)
        self._end = time.monotonic() + seconds
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = endpoint.ca_file or True
        self._session_path = ""
        if endpoint.tls_fingerprint:
            self._http.verify = False  # instead: exactly this certificate
            self._http.mount("https://", _Pinned(endpoint.tls_fingerprint))
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        self._base = f"https://{host}:{endpoint.port}"

    def __enter__(self) -> "RedfishClient":
        try:
            self.root = self.get(ROOT)
            self._log_in()
        except BaseException:
            self._http.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if self._session_path:
            self._end = max(self._end, time.monotonic() + LOG_OUT_SECONDS)
            with contextlib.suppress(PowerError):
                self._ask("DELETE", self._session_path)
        self._http.close()

    def get(self, path: str) -> Resource:
        return self._ask("GET", path)

    def post(self, path: str, body: Body) -> Resource:
        return self._ask("POST", path, body)

    def patch(self, found: Resource, body: Body) -> Resource:
        """Change what was found, unless somebody else has meanwhile. BMCs differ in which entity tags they take."""
        strong = found.etag.removeprefix("W/")
        for etag in dict.fromkeys((found.etag, strong, "*" if found.etag else "")):
            answer = self._send("PATCH", found.path, body, {"If-Match": etag} if etag else {})
            if answer.status != CHANGED:
                break
        return self._checked(answer, found.path)

    def _log_in(self) -> None:
        """A session where the BMC offers them (DSP0266, 13.3.4), else the password with every request."""
        sessions = link(link_of(self.root.body.get("Links")), "Sessions")
        if sessions and self._open_session(sessions):
            return
        name, password = self._endpoint.username.encode(), self._endpoint.password.encode()
        self._http.auth = HTTPBasicAuth(name, password)

    def _open_session(self, path: str) -> bool:
        credentials = {"UserName": self._endpoint.username, "Password": self._endpoint.password}
        answer = self._send("POST", path, credentials)
        if answer.status in (NOT_FOUND, NOT_ALLOWED, NOT_IMPLEMENTED):
            return False
        created = self._checked(answer, path)
        token = answer.headers.get("X-Auth-Token", "")
        if not token:
            return False
        self._http.headers["X-Auth-Token"] = token
        location = answer.headers.get("Location", "").removeprefix(self._base)
        self._session_path = location if is_path(location) else link(created.body)
        return True

    def _ask(self, method: str, path: str, body: Body | None = None) -> Resource:
        return self._checked(self._send(method, path, body), path)

    def _send(self, method: str, path: str, body: Body | None = None, headers: Body | None = None) -> "_Answer":
        if not is_path(path):
            raise PowerRefused(f"{self._endpoint} points outside its own Redfish service")
        wanted = {"Accept": "application/json", "Accept-Encoding": "identity", "OData-Version": "4.0"} | (headers or {})
        return self._in_words(lambda: self._exchange(method, path, body, wanted))

    def _exchange(self, method: str, path: str, body: Body | None, headers: Body) -> "_Answer":
        with self._http.request(
            method, self._base + path, json=body, headers=headers, timeout=self._left(), stream=True,
            allow_redirects=False,
        ) as answer:  # fmt: skip
            text = b""
            while chunk := answer.raw.read1(16384):
                text += chunk
                self._left()
                if len(text) > LARGEST_ANSWER:
                    raise PowerRefused(f"{self._endpoint} answered more than {LARGEST_ANSWER >> 20} MiB: is it a BMC?")
            return _Answer(answer.status_code, dict(answer.headers), text)

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise PowerError(f"{self._endpoint} is too slow: it did not finish within {SECONDS:.0f} s")
        return left

    def _in_words(self, call: Callable[[], "_Answer"]) -> "_Answer":
        """Library errors carry URLs and bodies: none of their text is passed on."""
        whom = self._endpoint
        try:
            return call()
        except requests.exceptions.SSLError as exc:
            raise PowerRefused(_about_certificate(whom, str(exc))) from None
        except requests.exceptions.ConnectTimeout:
            raise PowerError(f"{whom} does not answer: is its address right, is it plugged in?") from None
        except requests.exceptions.ConnectionError as exc:
            why = "refused the connection" if "refused" in str(exc).lower() else "cannot be reached"
            raise PowerError(f"{whom} {why}: is its address right, is Redfish switched on?") from None
        except (requests.exceptions.Timeout, TimeoutError):
            raise PowerError(f"{whom} is too slow: it did not finish within {SECONDS:.0f} s") from None
        except PowerError:
            raise
        except Exception as exc:  # noqa: BLE001 - urllib3 and http.client raise what a hostile answer makes them
            raise PowerError(f"{whom} broke off its answer ({type(exc).__name__})") from None

    def _checked(self, answer: "_Answer", path: str) -> Resource:
        whom, status = self._endpoint, answer.status
        if status == REFUSED:
            raise PowerRefused(f"{whom} refused the user or password: correct them in the inventory")
        if status == DENIED:
            raise PowerRefused(f"{whom} does not allow this user to do it: give it the role Operator")
        if 300 <= status < 400:
            raise PowerRefused(f"{whom} sends us elsewhere ({status}): redirects are not followed, correct its address")
        if status in BUSY:
            raise PowerError(f"{whom} is busy ({status}){self._reason(answer)}")
        if status == NOT_FOUND and path == ROOT:
            raise PowerRefused(f"{whom} knows no Redfish: is its address right, or does it need the driver ipmi?")
        if not 200 <= status < 300:
            raise PowerRefused(f"{whom} refused ({status}){self._reason(answer)}")
        etag = answer.headers.get("ETag", "")
        body = self._parsed(answer.text) if answer.text.strip() else {}
        return Resource(path, body, etag or str(body.get("@odata.etag", "")))

    def _parsed(self, text: bytes) -> Body:
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise PowerRefused(f"{self._endpoint} answered something that is no Redfish: is its address right?")
        return body

    def _reason(self, answer: "_Answer") -> str:
        """The BMC's own words (DSP0266, 8.6), without what we told it in confidence."""
        try:
            error = link_of(json.loads(answer.text).get("error"))
            details = [link_of(item) for item in error.get("@Message.ExtendedInfo") or ()]
            words = next(text for item in [*details, error] if (text := item.get("Message") or item.get("message")))
        except (ValueError, RecursionError, AttributeError, TypeError, StopIteration):
            return ""
        plain = "".join(letter for letter in str(words)[: 4 * WORDS_SHOWN] if letter.isprintable())
        for secret in (self._endpoint.password, str(self._http.headers.get("X-Auth-Token") or "")):
            plain = plain.replace(secret, "•••") if secret else plain
        return f": {plain[:WORDS_SHOWN]}"


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Any
    text: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", requests.structures.CaseInsensitiveDict(self.headers))


class _Pinned(HTTPAdapter):
    """Accepts the one certificate with this SHA-256, whoever signed it, and no other."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, assert_fingerprint=self._fingerprint, **kwargs)


def link_of(value: object) -> Body:
    """A JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def link(body: Body, name: str = "") -> str:
    """The path that a resource, or a member of it, points to; "" where there is none that may be followed."""
    target = (link_of(body.get(name)) if name else body).get("@odata.id")
    return target if isinstance(target, str) and is_path(target) else ""


def is_path(text: str) -> bool:
    """Whether a path stays inside this BMC's Redfish service."""
    return text.startswith("/redfish/") and "/../" not in f"{unquote(text)}/" and text.isascii() and text.isprintable()


def _about_certificate(endpoint: BmcEndpoint, text: str) -> str:
    if "fingerprint" in text.lower():
        return (
            f"{endpoint} shows another certificate than the one that was accepted: somebody may be in between. "
            f"If it was replaced on purpose, accept the new one with Test BMC"
        )
    if "certificate verify failed" in text.lower() or "hostname" in text.lower() or "match" in text.lower():
        return f"{endpoint} has a certificate that nobody vouches for: run Test BMC, which shows and accepts it"
    return f"{endpoint} does not speak TLS as we do: is the port right, is its firmware recent?"
