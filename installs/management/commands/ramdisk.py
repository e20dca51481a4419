"""python3 manage.py ramdisk build: the ramdisk that machines boot to be installed."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from installs.ramdisk import RamdiskError, build, latest
from installs.ramdisk.contents import SETS


class Command(BaseCommand):
    help = "Build the ramdisk that machines boot from the network, from Debian packages; or list what is built."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        building = actions.add_parser("build", help="build it, unless it is there already")
        building.add_argument(
            "--set", default="lab", choices=sorted(SETS), help="lab: practice servers, real: hardware"
        )
        building.add_argument("--firmware", action="store_true", help="with firmware of Debian's non-free-firmware")
        building.add_argument("--backports-kernel", action="store_true", help="with the kernel of Debian's backports")
        building.add_argument("--refresh", action="store_true", help="ask Debian for newer packages in any case")
        actions.add_parser("list", help="say which ramdisks are there")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            return self._list()
        try:
            built = build(
                options["set"], settings.DATA, self.stdout.write, firmware=options["firmware"],
                backports_kernel=options["backports_kernel"], refresh=options["refresh"],
            )  # fmt: skip
        except RamdiskError as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"{built.version}  kernel {built.kernel_release}  {built.initrd.parent}")

    def _list(self) -> None:
        for name in SETS:
            newest = latest(name, settings.DATA)
            self.stdout.write(f"{name}: {newest.version if newest else 'not built'}")
