"""A test of an IPMI BMC: first as a stranger, then with the user of the inventory, with as few rights as will do."""

import uuid
from dataclasses import replace

from machines.bmc_probe.findings import NO_NAME, Renew, Works
from machines.bmc_probe.redfish import greet_redfish
from machines.bmc_probe.rmcp import Stranger
from machines.power.base import BmcEndpoint, PowerError, PowerRefused
from machines.power.ipmi import IpmiPower

STRONG, WEAK = (17, 3), (2, 1)


def probe_ipmi(endpoint: BmcEndpoint, renew: Renew) -> Works:
    """What works and what is weak. Raises only what `renew` raises."""
    works = Works()
    try:
        with Stranger(endpoint) as stranger:
            is_there = _as_stranger(stranger, endpoint, works)
    except OSError as exc:
        works.add("unreachable", address=_address(endpoint), reason=exc.strerror or type(exc).__name__)
        return works
    except UnicodeError:
        works.add("unreachable", address=_address(endpoint), reason=NO_NAME)
        return works
    if is_there:
        _log_in(endpoint, works, renew)
        greet_redfish(endpoint, works)
    return works


def _as_stranger(stranger: Stranger, endpoint: BmcEndpoint, works: Works) -> bool:
    """Whether it is worth logging in."""
    greeting = stranger.greet()
    if greeting is None:
        works.add("silent", address=_address(endpoint))
        return False
    works.add("reached", address=_address(endpoint))
    if not greeting.speaks_ipmi_2:
        works.add("only-ipmi-1")
        return False
    if greeting.lets_anonymous_in:
        works.add("anonymous")
    _look_at_weak_suites(stranger, endpoint, works)
    works.cipher_suite = next((suite for suite in STRONG if _takes(stranger, suite)), None)
    works.add({17: "suite-17", 3: "suite-3"}.get(works.cipher_suite or 0, "no-suite"))
    return works.cipher_suite is not None


def _look_at_weak_suites(stranger: Stranger, endpoint: BmcEndpoint, works: Works) -> None:
    try:
        if stranger.enter_without_password(endpoint.username):
            works.add("suite-0-open", user=endpoint.username)
        elif stranger.propose(0):
            works.add("suite-0")
    except TimeoutError:
        pass  # it does not even answer to that: good
    for suite in WEAK:
        if _takes(stranger, suite):
            works.add("suite-weak", suite=suite)


def _takes(stranger: Stranger, suite: int) -> bool:
    try:
        return bool(stranger.propose(suite))
    except TimeoutError:
        return False


def _log_in(endpoint: BmcEndpoint, works: Works, renew: Renew) -> None:
    """As operator, which is all that Dodai needs; as administrator only to say whether the user could."""
    may = {}
    for privilege in ("operator", "administrator"):
        renew()
        trial = replace(endpoint, cipher_suite=works.cipher_suite, privilege=privilege)
        try:
            may[privilege] = IpmiPower(trial).describe()
        except PowerError as exc:
            problem = exc
            if not _lacks_rights(exc):
                break  # a wrong password sent once more may lock the user out
    if not may:
        code = "too-few-rights" if _lacks_rights(problem) else "problem"
        refused = isinstance(problem, PowerRefused) and code == "problem"
        works.add("login-refused" if refused else code, text=str(problem), user=endpoint.username)
        return
    works.privilege = next(iter(may))
    works.is_usable = True
    works.add("login", user=endpoint.username, privilege=works.privilege)
    if "administrator" in may:
        works.add("more-rights", user=endpoint.username)
    _say_what_was_read(may[works.privilege], works)


def _lacks_rights(problem: PowerError) -> bool:
    return isinstance(problem, PowerRefused) and "the rights of" in str(problem)


def _say_what_was_read(told: dict[str, str], works: Works) -> None:
    works.add("power-read", power=told["power"])
    works.add("boot-read" if told["boot"] else "boot-unreadable", boot=told["boot"])
    if told["guid"]:
        raw = bytes.fromhex(told["guid"])
        works.uuids = [str(uuid.UUID(bytes=raw)), str(uuid.UUID(bytes=raw[::-1])), str(uuid.UUID(bytes_le=raw))]


def _address(endpoint: BmcEndpoint) -> str:
    return f"{endpoint.host}:{endpoint.port}"
