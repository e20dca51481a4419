"""Where the disk of a machine may be reached. A machine chooses neither address nor port."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings

from installs import witness
from installs.iscsi.writer import CannotWrite
from installs.models import Install

PORT = 3260  # IANA's for iSCSI targets
NEIGHBOURS = {4: 24, 6: 64}  # bits of the network that a network boot and the ramdisk after it share


def port_of(install: Install) -> int:
    """A practice server's network leads nowhere but to one port of this computer: the number is that of its BMC."""
    return install.machine.bmc.port if install.machine.is_practice else PORT


def listening_at(install: Install, called_from: str | None) -> str:
    """What the ramdisk exports at: the address that it calls from, where Dodai will connect to, and no other network.

    What comes to a practice server from this computer comes to whatever address it has.
    """
    if install.machine.is_practice or not called_from:
        return f"0.0.0.0:{port_of(install)}"
    ip = _plain(called_from)
    return f"[{ip}]:{PORT}" if ip.version == 6 else f"{ip}:{PORT}"


def of(install: Install, called_from: str | None) -> tuple[str, int]:
    """Address and port; the ramdisk called from `called_from`. Raises CannotWrite where that is no place to go."""
    if install.machine.is_practice:
        return install.machine.bmc.host, port_of(install)
    if not called_from or not witness.may_be_asked(called_from):
        raise CannotWrite(
            f"its ramdisk called from {called_from or 'nowhere'}, an address of this computer or of no machine: Dodai "
            "must see the addresses of the machines themselves (no proxy or NAT between).", cause="address",
        )  # fmt: skip
    if not _is_expected(install, called_from):
        raise CannotWrite(
            f"its ramdisk called from {called_from}, which is in no network where this machine is known to be: give "
            "its network in DODAI_ISCSI_NETWORKS, then retry.", cause="address",
        )  # fmt: skip
    return str(_plain(called_from)), PORT


def _is_expected(install: Install, address: str) -> bool:
    """By the setting; without one, near the address that asked how to boot, or one that a card has in the inventory."""
    ip = _plain(address)
    if settings.ISCSI_NETWORKS:
        return any(ip in network for network in settings.ISCSI_NETWORKS)
    booted = install.boots.filter(boot_id=install.granted_boot_id).values_list("address", flat=True)
    cards = [card.address for card in install.machine.interfaces.all() if card.address]
    near = [f"{ip}/{NEIGHBOURS[ip.version]}" for ip in map(_plain, filter(None, booted))]
    return any(ip in ip_network(network, strict=False) for network in [*near, *cards])


def _plain(address: str) -> IPv4Address | IPv6Address:
    """As IPv4 where it is that, as a listener on both kinds tells it: all of IPv4 would be one network of IPv6."""
    ip = ip_address(address)
    return getattr(ip, "ipv4_mapped", None) or ip
