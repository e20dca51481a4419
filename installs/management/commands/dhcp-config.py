"""Writes the lines that a DHCP server needs so that machines find Dodai."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs import dhcp


class Command(BaseCommand):
    help = "Print DHCP lines: " + ", ".join(f"{name} ({words})" for name, words in dhcp.SERVERS.items())

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server", choices=dhcp.SERVERS, nargs="?", default="dnsmasq-proxy")
        parser.add_argument("--network", required=True, help="of the machines, like 10.0.0.0/24")
        parser.add_argument("--tftp-server", help="where iPXE lies (default: this Dodai's host)")
        parser.add_argument("--tftp-root", default=dhcp.TFTP_ROOT)

    def handle(self, *args: Any, **options: Any) -> None:
        url = settings.PROVISION_URL
        if note := dhcp.unreachable(url):
            self.stderr.write(note)
        try:
            network = dhcp.network_of(options["network"])
        except dhcp.BadNetwork as exc:
            raise CommandError(f"--network: {exc}") from exc
        tftp = {"tftp_server": options["tftp_server"] or "", "tftp_root": options["tftp_root"]}
        self.stdout.write(dhcp.lines(options["server"], url=url, network=network, **tftp))
