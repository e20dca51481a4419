"""Builds what the practice servers need and enters them into the inventory."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from installs import actions, practice
from installs.images.kinds import ImageProblem
from installs.ramdisk import RamdiskError
from lab.errors import LabError
from machines.management.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Build the ramdisk and the practice image, enter the practice servers and inspect them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lab", type=int, default=3, metavar="N", help="how many practice servers")
        parser.add_argument(
            "--keep", action="store_true", help="stay, and follow what the pages say: wanted or removed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        def say(text: str) -> None:
            self.stdout.write(text)

        try:
            if options["keep"]:
                practice.keep(options["lab"], say)
            else:
                practice.bring_back()
                practice.prepare(options["lab"], say)
        except (RamdiskError, ImageProblem, LabError, actions.Refused) as exc:
            raise CommandError(str(exc)) from exc
