"""The lines that a DHCP server needs so that machines find Dodai."""

import ipaddress
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from installs import scripts

SERVERS = {
    "dnsmasq-proxy": gettext_lazy("dnsmasq beside your DHCP server"),
    "dnsmasq": gettext_lazy("dnsmasq as the DHCP server"),
    "kea": "Kea",
    "isc": "ISC dhcpd",
}
SMALLEST = 8  # addresses: half of them are given out
TFTP_ROOT = "/srv/tftp"


class BadNetwork(ValueError):
    """The message says what is wrong and how to write it."""


def network_of(text: str) -> ipaddress.IPv4Network:
    """Raises BadNetwork."""
    try:
        network = ipaddress.IPv4Network(text.strip())
    except ValueError as exc:
        raise BadNetwork(_("%(problem)s; write it like 10.0.0.0/24") % {"problem": exc}) from exc
    if network.num_addresses < SMALLEST:
        raise BadNetwork(_("%(network)s is too small to give out addresses") % {"network": network})
    return network


def likely_network(url: str) -> str:
    """The /24 around the address in a URL, as a first guess; "" for names and for this computer only."""
    try:
        address = ipaddress.IPv4Address(urlsplit(url).hostname or "")
    except ValueError:
        return ""
    return "" if address.is_loopback else str(ipaddress.IPv4Network(f"{address}/24", strict=False))


def lines(
    server: str, *, url: str, network: ipaddress.IPv4Network, tftp_server: str = "", tftp_root: str = TFTP_ROOT
) -> str:
    """`url` is the provisioning listener's, as machines reach it; without `tftp_server` that is its host."""
    return scripts.render(
        f"dhcp/{server}",
        url=f"{url}/boot.ipxe", network=network.network_address, prefix=network.prefixlen, netmask=network.netmask,
        first=network[network.num_addresses // 2], last=network[-2],
        tftp_server=tftp_server or urlsplit(url).hostname or "", tftp_root=tftp_root,
    ).rstrip()  # fmt: skip
