"""Builds what the practice servers need and enters them into the inventory."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from installs import actions, practice
from installs.images import ImageProblem
from installs.ramdisk import RamdiskError
from machines.management.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Build the ramdisk and the practice image, enter the practice servers and inspect them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lab", type=int, default=3, metavar="N", help="how many practice servers")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            practice.prepare(options["lab"], lambda text: self.stdout.write(text))
        except (RamdiskError, ImageProblem, actions.Refused) as exc:
            raise CommandError(str(exc)) from exc
