"""Switches with a command line, over SSH, by the library netmiko. What is said to each make is in vendors.py."""

import importlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, Setting, SwitchPort, plain, safe_name
from machines.network.child import call_in_child
from machines.network.vendors import VENDORS, Found, Vendor

CONNECT_SECONDS, ANSWER_SECONDS = 10, 15
HOST = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
HOST_KEY = re.compile(r"[a-z0-9@.-]{3,64} [A-Za-z0-9+/]{20,4000}={0,2}")

Session = Any  # netmiko's BaseConnection, which is imported only where it is used: that takes a second


class NetmikoNetwork(NetworkDriver):
    slug = "netmiko"
    label = "Command line over SSH (Arista, Cisco, SONiC, Cumulus)"
    seconds = 60.0
    settings = (
        Setting("vendor", "make", "choice", choices=tuple((each.slug, each.label) for each in VENDORS.values())),
        Setting("host", "address"),
        Setting("port", "port", "number", default=22),
        Setting("host_key", "SSH host key", help="As ssh-keyscan prints it, without the address: ssh-ed25519 AAAA…"),
        Setting("username", "user name"),
        Setting("password", "password", "secret"),
        Setting("enable", "enable password", "secret", required=False),
        Setting("save", "save its configuration", "yes", default=True, required=False,
                help="So that ports stay where they are when the switch restarts."),
    )  # fmt: skip

    def read(self, port: SwitchPort) -> int | None:
        return self.read_all([port])[port.name]

    def read_all(self, ports: Iterable[SwitchPort]) -> dict[str, int | None]:
        found: dict[str, int | None] = self._call(partial(_read_all, ports=[safe_name(port) for port in ports]))
        return found

    def attach(self, port: SwitchPort, vlan: int) -> None:
        self._call(partial(_attach, port=safe_name(port), vlan=int(vlan), save=bool(self.setting("save"))))

    def _call(self, work: Callable[..., Any]) -> Any:
        self._check()
        importlib.import_module("netmiko")  # here, not in the child: once a process instead of once a call
        whom, known = str(self.endpoint), {one.name: self.setting(one.name) for one in self.settings}
        return call_in_child(partial(_in_session, work, whom, known), whom=whom, seconds=self.seconds)

    def _check(self) -> None:
        if self.setting("vendor") not in VENDORS:
            raise NetworkRefused(f"{self.endpoint}: Dodai knows no such make, choose one of {', '.join(VENDORS)}")
        if not HOST.fullmatch(str(self.setting("host"))):
            raise NetworkRefused(f"{self.endpoint}: its address is none")
        if not HOST_KEY.fullmatch(str(self.setting("host_key"))):
            raise NetworkRefused(f"{self.endpoint}: its host key must look like ssh-ed25519 AAAA…, without the address")


def _read_all(vendor: Vendor, session: Session, *, ports: list[str]) -> dict[str, int | None]:
    return {port: _found(vendor, session, port).vlan for port in ports}


def _attach(vendor: Vendor, session: Session, *, port: str, vlan: int, save: bool) -> None:
    """Only an access port is moved, and only one that is elsewhere."""
    before = _found(vendor, session, port)
    if before.vlan != vlan:
        lines = vendor.join if before.vlan is None and vendor.join else vendor.attach
        _say(vendor, session, [line.format(port=port, vlan=vlan, was=before.vlan) for line in lines])
    after = _found(vendor, session, port)
    if after.vlan == vlan and after.is_dead:
        raise NetworkRefused(f"{port}: the switch has no VLAN {vlan}: create it there first")
    if save and before.vlan != vlan:
        _say(vendor, session, list(vendor.save))


def _found(vendor: Vendor, session: Session, port: str) -> Found:
    answer = session.send_command(vendor.read.format(port=port), read_timeout=ANSWER_SECONDS)
    return vendor.found(str(answer), port)


def _say(vendor: Vendor, session: Session, lines: list[str]) -> None:
    inside = [line[1:] for line in lines if line.startswith("!")]
    answers = [(inside[-1], session.send_config_set(inside, read_timeout=ANSWER_SECONDS))] if inside else []
    for line in lines:
        if not line.startswith("!"):
            answers.append((line, session.send_command(line, read_timeout=ANSWER_SECONDS)))
            _refuse_errors(vendor, *answers[-1])
    for line, answer in answers:
        _refuse_errors(vendor, line, answer)


def _refuse_errors(vendor: Vendor, line: str, answer: str) -> None:
    if found := re.search(vendor.refusals, answer, re.MULTILINE):
        raise NetworkRefused(f"the switch did not take {line!r}: {plain(answer[found.start() :])}")


def _in_session(work: Callable[..., Any], whom: str, known: dict[str, Any]) -> Any:
    """In the child: log in, do it, log out."""
    for name in ("netmiko", "paramiko"):  # they log what a switch says, as it comes
        logging.getLogger(name).disabled = True
        logging.getLogger(name).propagate = False
    logging.getLogger("paramiko.transport").disabled = True
    vendor = VENDORS[known["vendor"]]
    with _errors(whom):
        session = _connect(vendor, known)
        try:
            if vendor.has_enable:
                session.enable()
            return work(vendor, session)
        finally:
            session.disconnect()


def _connect(vendor: Vendor, known: dict[str, Any]) -> Session:
    from netmiko import ConnectHandler

    port, host = int(known["port"]), str(known["host"])
    known_hosts = os.memfd_create("known_hosts")  # the library wants a file; this one nobody has to remove
    os.write(known_hosts, f"{host if port == 22 else f'[{host}]:{port}'} {known['host_key']}\n".encode())
    return ConnectHandler(
        device_type=vendor.device, host=host, port=port, username=known["username"], password=known["password"],
        secret=known["enable"] or known["password"], ssh_strict=True, alt_host_keys=True,
        alt_key_file=f"/proc/self/fd/{known_hosts}", allow_agent=False, use_keys=False,
        conn_timeout=CONNECT_SECONDS, auth_timeout=CONNECT_SECONDS, banner_timeout=CONNECT_SECONDS,
    )  # fmt: skip


@contextmanager
def _errors(whom: str) -> Iterator[None]:
    from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException, NetmikoTimeoutException
    from paramiko.ssh_exception import BadHostKeyException, SSHException

    try:
        yield
    except NetmikoAuthenticationException as exc:
        raise NetworkRefused(f"{whom} refused the user or password: correct them in the inventory") from exc
    except SSHException as exc:  # netmiko's own for silence is one, too
        cause = exc.__context__ if isinstance(exc, NetmikoTimeoutException) else exc
        if isinstance(cause, BadHostKeyException) or "known_hosts" in str(cause):
            words = "shows another SSH host key than the inventory has: no password was sent to it"
            raise NetworkRefused(f"{whom} {words}") from exc
        if isinstance(exc, NetmikoTimeoutException):
            raise NetworkError(f"{whom} does not answer: is its address right, does it take SSH?") from exc
        raise NetworkError(f"{whom} did not come to terms over SSH ({type(exc).__name__})") from exc
    except (NetmikoBaseException, OSError, ValueError) as exc:
        raise NetworkError(f"{whom} did not answer as expected ({type(exc).__name__})") from exc
