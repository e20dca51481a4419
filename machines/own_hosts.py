"""The computers that Dodai itself runs on. They are machines like others, but nothing is ever installed on them.

What this host is known by is read anew at each question, as cards and addresses come and go; what another host of
Dodai's (a database, a second server) is known by is told in DODAI_OWN_HOSTS. Practice servers are never own hosts:
they live inside of this one, and share its addresses.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from machines import identity
from machines.models import Machine

CARDS, DMI, IPMI = Path("/sys/class/net"), Path("/sys/class/dmi/id"), Path("/dev/ipmi0")
ROUTES, ADDRESSES_6 = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
LOCAL_ADDRESS = re.compile(r"\|-- (\S+)\s+/32 host LOCAL")
BMC_ADDRESS = re.compile(r"^IP Address\s+: (\S+)", re.MULTILINE)
BMC_MAY_TAKE_SECONDS = 5


@dataclass(frozen=True)
class Known:
    """By what own hosts are known. All in the inventory's spelling."""

    macs: frozenset[str]
    addresses: frozenset[str]
    bmc_addresses: frozenset[str]
    serials: frozenset[str]
    uuids: frozenset[str]


def why(machine: Machine) -> str:
    """By which fact this is a computer that Dodai runs on, as a sentence; "" when it is none. One query."""
    if machine.is_practice:
        return ""
    fact = _shared_fact(machine, known())
    if not fact:
        return ""
    words = _("%(name)s is a computer that Dodai itself runs on (%(fact)s): nothing is done to it.")
    return words % {"name": machine.name, "fact": fact}


def known() -> Known:
    """What this host says of itself now, and what DODAI_OWN_HOSTS names."""
    told = frozenset(settings.OWN_HOSTS)
    return Known(
        macs=frozenset(_macs()) | {mac for word in told if (mac := _mac(word))},
        addresses=frozenset(_addresses()) | told,
        bmc_addresses=frozenset(_own_bmc()) | told,
        serials=frozenset(filter(None, [identity.normal_serial(_text(DMI / "product_serial"))])) | told,
        uuids=frozenset(filter(None, map(identity.normal_uuid, [_text(DMI / "product_uuid"), *told]))),
    )


def _shared_fact(machine: Machine, own: Known) -> str:
    for card in machine.interfaces.all():
        if card.mac in own.macs:
            return f"MAC {card.mac}"
        if (address := card.address.partition("/")[0]) and _plain(address) in own.addresses:
            return address
    if machine.serial and machine.serial in own.serials:
        return machine.serial
    if machine.uuid and any(identity.same_uuid(machine.uuid, uuid) for uuid in own.uuids):
        return f"UUID {machine.uuid}"
    bmc = getattr(machine, "bmc", None)
    if bmc and bmc.host and _plain(bmc.host) in own.bmc_addresses:
        return f"BMC {bmc.host}"
    return machine.name if machine.name in settings.OWN_HOSTS else ""


def _macs() -> Iterator[str]:
    for card in CARDS.glob("*/address"):
        if mac := _mac(_text(card)):
            yield mac


def _mac(text: str) -> str:
    with suppress(identity.BadIdentity):
        return identity.normal_mac(text)
    return ""


def _addresses() -> Iterator[str]:
    """Of all cards. Those of the loopback are every computer's own, and name none."""
    found = LOCAL_ADDRESS.findall(_text(ROUTES))
    with suppress(ValueError):
        found += [str(IPv6Address(int(line.split()[0], 16))) for line in _text(ADDRESSES_6).splitlines()]
    return (address for address in found if not ip_address(address).is_loopback)


@cache
def _own_bmc() -> tuple[str, ...]:
    """The address of the BMC beside this host, where its driver may be asked. It does not change under a process."""
    program = shutil.which("ipmitool")
    if not program or not IPMI.exists():
        return ()
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(
            [program, "-I", "open", "lan", "print"], capture_output=True, text=True, timeout=BMC_MAY_TAKE_SECONDS,
            check=True,
        )  # fmt: skip
        return tuple(found for found in BMC_ADDRESS.findall(asked.stdout) if not ip_address(found).is_unspecified)
    return ()


def _plain(address: str) -> str:
    """An address in its one spelling; a name stays as it is."""
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError:
        return address.lower()


def _text(path: Path) -> str:
    """What a file of the kernel says; "" where it is missing, or for root only."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
