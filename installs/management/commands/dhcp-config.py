"""Writes the lines that a DHCP server needs so that machines find Dodai."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs import scripts

SERVERS = {
    "dnsmasq-proxy": "beside your DHCP server",
    "dnsmasq": "as the DHCP server",
    "kea": "Kea",
    "isc": "ISC dhcpd",
}


class Command(BaseCommand):
    help = "Print DHCP lines: " + ", ".join(f"{name} ({words})" for name, words in SERVERS.items())

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server", choices=SERVERS, nargs="?", default="dnsmasq-proxy")
        parser.add_argument("--network", required=True, help="of the machines, like 10.0.0.0/24")
        parser.add_argument("--tftp-server", help="where iPXE lies (default: this Dodai's host)")
        parser.add_argument("--tftp-root", default="/srv/tftp")

    def handle(self, *args: Any, **options: Any) -> None:
        url = settings.PROVISION_URL
        host = urlsplit(url).hostname or ""
        if host in ("127.0.0.1", "localhost", "::1"):
            self.stderr.write(
                f"note: no machine can reach {url}: start Dodai with --provision-host, or set DODAI_PROVISION_URL"
            )
        try:
            network = ipaddress.IPv4Network(options["network"])
        except ValueError as exc:
            raise CommandError(f"--network: {exc}; write it like 10.0.0.0/24") from exc
        if network.num_addresses < 8:
            raise CommandError(f"--network: {network} is too small to give out addresses")
        text = scripts.render(
            f"dhcp/{options['server']}",
            url=f"{url}/boot.ipxe",
            network=network.network_address,
            prefix=network.prefixlen,
            netmask=network.netmask,
            first=network[network.num_addresses // 2],
            last=network[-2],
            tftp_server=options["tftp_server"] or host,
            tftp_root=options["tftp_root"],
        )
        self.stdout.write(text.rstrip())
