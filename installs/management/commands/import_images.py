"""Takes in images."""

import os
import time
from typing import Any

from django.core.management.base import CommandParser

from installs.images import importer, imports
from installs.models import Image, Install
from machines import loops
from machines.management.keyed import KeyedCommand
from machines.models import Machine

EVERY_SECONDS = 1.0
TIDY_EVERY_SECONDS = 600.0
LOW_PRIORITY = 10


class Command(KeyedCommand):
    help = "Do imports of images. Runs until stopped; several do no harm."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--debian", action="store_true", help="build the image debian-12 where there is none")

    def handle(self, *args: Any, **options: Any) -> None:
        os.nice(LOW_PRIORITY)
        self._wants_debian, self._tidied_at = options["debian"], 0.0
        loops.until_told(self._turn, every_seconds=EVERY_SECONDS)

    def _turn(self) -> None:
        if time.monotonic() - self._tidied_at > TIDY_EVERY_SECONDS:
            importer.tidy()
            self._tidied_at = time.monotonic()
        if self._wants_debian and _practice_is_ready():
            self._wants_debian = False
            if imports.wants_debian():
                imports.ask_debian(by="dodai")
        importer.turn(self.stdout.write)


def _practice_is_ready() -> bool:
    """The practice servers and their image are waited for by somebody: Debian is built when they are there."""
    looked_at = Install.objects.live().filter(machine__site__is_practice=True, method="inspect")
    return Image.objects.exists() and Machine.objects.practice().exists() and not looked_at.exists()
