"""A test of a Redfish BMC: its certificate, then its service, then the user of the inventory."""

import hashlib
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime

from machines.bmc_probe.findings import NO_NAME, Renew, Works
from machines.power.base import BmcEndpoint, PowerError, PowerRefused
from machines.power.redfish import RedfishPower
from machines.power.redfish_client import ROOT, RedfishClient

HANDSHAKE_SECONDS = 4.0
GREETING_SECONDS = 3.0
CLOCK_MAY_BE_OFF_MINUTES = 5


def probe_redfish(endpoint: BmcEndpoint, renew: Renew) -> Works:
    """What works and what is weak. Raises only what `renew` raises."""
    works = Works(tls_fingerprint=endpoint.tls_fingerprint)
    try:
        seen = fingerprint_at(endpoint)
    except OSError as exc:
        reason = "" if isinstance(exc, TimeoutError) else (exc.strerror or type(exc).__name__)
        works.add("unreachable" if reason else "silent", address=_address(endpoint), reason=reason)
        return works
    except UnicodeError:
        works.add("unreachable", address=_address(endpoint), reason=NO_NAME)
        return works
    works.add("reached", address=_address(endpoint))
    if _judge_certificate(endpoint, seen, works):
        _log_in(replace(endpoint, tls_fingerprint=works.tls_fingerprint), works, renew)
    return works


def greet_redfish(endpoint: BmcEndpoint, works: Works) -> None:
    """Say whether a BMC of another driver speaks Redfish too. Sends nothing secret, so any certificate will do."""
    at_home = replace(endpoint, port=RedfishPower.default_port, username="", password="")
    try:
        trusting = replace(at_home, tls_fingerprint=fingerprint_at(at_home))
        root = RedfishClient(trusting, seconds=GREETING_SECONDS).get(ROOT)
    except (OSError, PowerError):
        return
    works.add("redfish-too", version=str(root.body.get("RedfishVersion", ""))[:31])


def fingerprint_at(endpoint: BmcEndpoint) -> str:
    """SHA-256 of the certificate that is shown, whoever signed it. Raises OSError, TimeoutError among them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((endpoint.host, endpoint.port), timeout=HANDSHAKE_SECONDS) as plain:
        with context.wrap_socket(plain) as wrapped:
            return hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()


def _judge_certificate(endpoint: BmcEndpoint, seen: str, works: Works) -> bool:
    """Whether the password may go out. What was accepted once must not change by itself."""
    if endpoint.tls_fingerprint:
        same = endpoint.tls_fingerprint == seen
        works.add("certificate-same" if same else "certificate-changed", seen=seen, known=endpoint.tls_fingerprint)
        return same
    try:
        RedfishClient(endpoint).get(ROOT)
        works.add("certificate-vouched")
    except PowerRefused:
        works.tls_fingerprint = seen
        works.add("certificate-accepted", seen=seen)
    except PowerError as exc:
        works.add("problem", text=str(exc))
        return False
    return True


def _log_in(endpoint: BmcEndpoint, works: Works, renew: Renew) -> None:
    renew()
    try:
        told = RedfishPower(endpoint).describe()
    except PowerError as exc:
        works.add(
            "login-refused" if isinstance(exc, PowerRefused) else "problem", text=str(exc), user=endpoint.username
        )
        return
    works.is_usable = told["power"] != "unknown"
    works.add("login-redfish", user=endpoint.username, version=told["RedfishVersion"])
    model = " ".join(filter(None, (told.get("Manufacturer"), told.get("Model"))))
    if model or told["FirmwareVersion"]:
        works.add("firmware", model=model, firmware=told["FirmwareVersion"])
    works.add("power-read" if works.is_usable else "power-unreadable", power=told["power"])
    works.add("boot-read" if told["boot"] else "boot-unreadable", boot=told["boot"])
    if (minutes := _minutes_off(told["DateTime"])) > CLOCK_MAY_BE_OFF_MINUTES:
        works.add("clock-off", minutes=minutes)
    works.uuids = [told["UUID"]] if told.get("UUID") else []
    works.serials = [told[name] for name in ("SerialNumber", "SKU") if told.get(name)]  # Dell: the tag is the SKU


def _minutes_off(text: str) -> int:
    """How far the BMC's clock (DSP0266, 9.2.6) is from ours; 0 where it does not tell it."""
    try:
        return abs(int((datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds() // 60))
    except (TypeError, ValueError):
        return 0


def _address(endpoint: BmcEndpoint) -> str:
    return f"{endpoint.host}:{endpoint.port}"
