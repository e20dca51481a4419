"""What DHCP and TFTP servers need so that machines find Dodai, and their own disk when Dodai is away."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dodaiweb import durable
from installs import scripts

SERVERS = {
    "dnsmasq-proxy": gettext_lazy("dnsmasq beside your DHCP server"),
    "dnsmasq": gettext_lazy("dnsmasq as the DHCP server"),
    "kea": "Kea",
    "isc": "ISC dhcpd",
}
SMALLEST = 8  # addresses: half of them are given out
TFTP_ROOT = "/srv/tftp"
IPXE_FOLDER = Path("/usr/lib/ipxe")  # of Debian's package ipxe
LOADERS = ("undionly.kpxe", "snponly.efi")
SCRIPT = "dodai.ipxe"
"""What iPXE starts with. From TFTP, not from Dodai: iPXE waits for ever for a script that DHCP names by an HTTP URL."""


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


def unreachable(url: str) -> str:
    """What to say of a URL that only this computer can reach; "" for others."""
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        return ""
    return f"note: no machine can reach {url}: start Dodai with --provision-host, or set DODAI_PROVISION_URL"


def lines(
    server: str, *, url: str, network: ipaddress.IPv4Network, tftp_server: str = "", tftp_root: str = TFTP_ROOT
) -> str:
    """`url` is the provisioning listener's, as machines reach it; without `tftp_server` that is its host."""
    return scripts.render(
        f"dhcp/{server}",
        script=SCRIPT, network=network.network_address, prefix=network.prefixlen, netmask=network.netmask,
        first=network[network.num_addresses // 2], last=network[-2],
        tftp_server=tftp_server or urlsplit(url).hostname or "", tftp_root=tftp_root,
    ).rstrip()  # fmt: skip


def put_tftp_files(folder: Path, *, url: str) -> list[Path]:
    """iPXE, and the script that asks Dodai at `url`, for a TFTP server. Returns the files; raises OSError."""
    contents = {name: (IPXE_FOLDER / name).read_bytes() for name in LOADERS}
    contents[SCRIPT] = scripts.render("boot/who.ipxe", base=f"{url}/").encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        durable.write(folder / name, content)
        (folder / name).chmod(0o644)  # TFTP servers read only what everybody may
    return [folder / name for name in contents]
