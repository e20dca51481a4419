"""Looks at a machine from inside, without writing anything."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs import actions
from installs.watching import follow
from machines.management.looking_up import asker, machine_named


class Command(BaseCommand):
    help = "Boot a machine's ramdisk to find its cards, disks and memory. Nothing is written to a disk."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("machine")
        parser.add_argument("--no-wait", action="store_true", help="return at once")

    def handle(self, *args: Any, **options: Any) -> None:
        machine = machine_named(options["machine"])
        try:
            install = actions.start_inspection(machine, by=asker())
        except actions.Refused as exc:
            raise CommandError(str(exc)) from exc
        if options["no_wait"]:
            return
        for line in follow(install.pk):
            self.stdout.write(f"{line.name:<16} {line.text}".rstrip())
        install.refresh_from_db()
        if install.state != "installed":
            raise CommandError(install.error)
        for disk in machine.disks.all():
            mark = ", root disk" if disk.is_root else ""
            self.stdout.write(f"{disk.path}: {disk} {disk.size_bytes or 0:,} bytes{mark}")
