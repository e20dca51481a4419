"""The second witness of an install whose OS does not call: its SSH server, which shows the sign of this attempt.

The installer writes the sign into the settings of the OS's SSH server, which says it in its first line to whoever
connects (RFC 4253, section 4.2). It was made for this attempt, and goes only to the boot that has the write grant (of a
system in memory: its settings). So neither the OS of before, nor that of an earlier attempt, nor another machine at
this address is taken for the new one; and a ramdisk has no SSH server.
"""

import contextlib
import socket
import time
from ipaddress import ip_address

from installs import tokens
from installs.models import Event, Install
from machines import own_hosts

SSH_PORT = 22
SECONDS = 2.0  # for each address; all together must fit well into a worker's lease
MOST_ADDRESSES = 3
LONGEST_GREETING = 4096  # other lines may come before the server's own


def look(install: Install) -> str:
    """Where the OS of this attempt answers now, "" where it is not seen. Asks the network for some seconds."""
    sign = tokens.sign(install.first_boot_hash).encode()
    return next((address for address in addresses(install) if sign in greeting(address).split()), "")


def addresses(install: Install) -> list[str]:
    """Where its machine may be: the addresses that its cards get, then those that it has called from."""
    if install.machine.is_practice:
        return []  # behind the lab's own wall; outside of it the same addresses are somebody else's
    given = [card.address.partition("/")[0] for card in install.machine.interfaces.all() if card.address]
    events = install.events.filter(kind=Event.Kind.MACHINE, address__isnull=False).order_by("-pk")
    called = [str(address) for address in events.values_list("address", flat=True)]
    known = dict.fromkeys([*given, *called])
    return [address for address in known if may_be_asked(address)][:MOST_ADDRESSES]


def may_be_asked(address: str) -> bool:
    """Whether one other machine may have it: neither this computer nor another one of Dodai's is a witness."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local:
        return False
    return str(ip) not in own_hosts.known().addresses


def greeting(address: str) -> bytes:
    """The line by which an SSH server names itself; empty where none answers in time."""
    until, said = time.monotonic() + SECONDS, b""
    with contextlib.suppress(OSError), socket.create_connection((address, SSH_PORT), timeout=SECONDS) as connection:
        while len(said) < LONGEST_GREETING and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            more = connection.recv(LONGEST_GREETING - len(said))
            said += more
            if (line := _own_line(said)) or not more:
                return line
    return b""


def _own_line(said: bytes) -> bytes:
    whole = said.split(b"\n")[:-1]
    return next((line.strip() for line in whole if line.startswith(b"SSH-")), b"")
