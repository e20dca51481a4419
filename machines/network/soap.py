"""A SOAP client that trusts nobody: one address, no redirects, nothing from elsewhere, answers of a limited size.

The service describes itself (WSDL) at its own address, as dodai's controller does. What it says there of other
addresses is not followed: calls go where the inventory says.
"""

import logging
from typing import Any

import requests
import zeep
from zeep.exceptions import Error, Fault
from zeep.transports import Transport

from machines.network.base import NetworkError, NetworkRefused, plain

ANSWER_BYTES = 1 << 20
ANSWER_SECONDS = 8


class TooLong(NetworkError):
    """More than ANSWER_BYTES came."""


class OnlyThere(Transport):
    """Speaks to one address. `load` is how zeep fetches a WSDL and all that this one refers to."""

    def __init__(self, address: str) -> None:
        self.address = address
        session = requests.Session()
        session.trust_env = False  # no proxy, no .netrc
        super().__init__(  # type: ignore[no-untyped-call] # zeep has few types
            session=session, timeout=ANSWER_SECONDS, operation_timeout=ANSWER_SECONDS
        )  # fmt: skip

    def load(self, url: str) -> bytes:
        if url != f"{self.address}?wsdl":
            raise NetworkRefused(f"its description refers to {plain(url)}: nothing is fetched from elsewhere")
        answer = self._asked("GET", url)
        if answer.status_code != requests.codes.ok:
            raise NetworkError(f"it does not describe itself at {plain(url)} (status {answer.status_code})")
        return bytes(answer.content)

    def post(self, address: str, message: Any, headers: dict[str, str]) -> requests.Response:
        return self._asked("POST", self.address, data=message, headers=headers)

    def _asked(self, method: str, url: str, **rest: Any) -> requests.Response:
        answer = self.session.request(
            method, url, timeout=ANSWER_SECONDS, allow_redirects=False, stream=True, **rest
        )  # fmt: skip
        with answer:
            content = b""
            for chunk in answer.iter_content(1 << 14):
                content += chunk
                if len(content) > ANSWER_BYTES:
                    raise TooLong(f"it answers more than {ANSWER_BYTES >> 20} MiB")
        answer._content = content
        return answer


class Soap:
    """One service. `call` raises NetworkError where it fails, NetworkRefused with its words where it refuses."""

    def __init__(self, address: str) -> None:
        logging.getLogger("zeep").disabled = True
        with_limits = zeep.Settings(
            strict=True, forbid_dtd=True, forbid_entities=True, forbid_external=True, xml_huge_tree=False
        )
        self._service = _tried(
            "description", lambda: _first_service(address, with_limits)
        )  # fmt: skip

    def call(self, operation: str, *values: object) -> Any:
        return _tried(operation, lambda: self._service[operation](*values))


def _first_service(address: str, settings: zeep.Settings) -> Any:
    client = zeep.Client(f"{address}?wsdl", transport=OnlyThere(address), settings=settings)  # type: ignore[no-untyped-call]
    [binding, *_] = client.wsdl.bindings
    return client.create_service(binding, address)  # type: ignore[no-untyped-call]


def _tried(what: str, call: Any) -> Any:
    try:
        return call()
    except NetworkError:
        raise
    except Fault as exc:
        raise NetworkRefused(f"{what}: it says {plain(exc.message)!r}") from exc
    except requests.RequestException as exc:
        raise NetworkError(f"{what}: it does not answer ({type(exc).__name__}): is its address right?") from exc
    except (Error, ValueError, TypeError, AttributeError, LookupError) as exc:
        raise NetworkError(f"{what}: its answer cannot be read ({type(exc).__name__})") from exc
