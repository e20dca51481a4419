"""Takes in images."""

import os
import time
from typing import Any

from django.core.management.base import CommandParser

from installs import importer, imports
from installs.models import Image
from installs.practice_words import PRACTICE_IMAGE
from machines import loops
from machines.management.keyed import KeyedCommand

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
        # Once, and not before the practice servers have their own image: those are waited for.
        if self._wants_debian and Image.objects.filter(name=PRACTICE_IMAGE).exists():
            self._wants_debian = False
            if imports.wants_debian():
                imports.ask_debian(by="dodai")
        importer.turn(self.stdout.write)
