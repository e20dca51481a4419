"""Fills the folder of a TFTP server with what machines boot first."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs import dhcp


class Command(BaseCommand):
    help = "Put iPXE, and the script that it asks Dodai by, into a TFTP server's folder; again after each change of URL"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, nargs="?", default=Path(dhcp.TFTP_ROOT))

    def handle(self, *args: Any, **options: Any) -> None:
        if note := dhcp.unreachable(settings.PROVISION_URL):
            self.stderr.write(note)
        if not dhcp.IPXE_FOLDER.is_dir():
            raise CommandError("iPXE is missing here: apt-get install ipxe")
        try:
            written = dhcp.put_tftp_files(options["folder"], url=settings.PROVISION_URL)
        except OSError as exc:
            raise CommandError(f"{exc.filename}: {exc.strerror}") from exc
        for path in written:
            self.stdout.write(str(path))
