"""Writes disks that machines export."""

import time
from typing import Any

from installs.iscsi import source
from installs.iscsi.copying import Copier
from machines import loops
from machines.management.keyed import KeyedCommand

EVERY_SECONDS = 0.5
TIDY_EVERY_SECONDS = 600.0


class Command(KeyedCommand):
    help = "Write images onto disks that machines export by iSCSI. Runs until stopped; several do no harm."

    def handle(self, *args: Any, **options: Any) -> None:
        self._copier, self._tidied_at = Copier(self.stdout.write), 0.0
        loops.until_told(self._turn, every_seconds=EVERY_SECONDS)

    def _turn(self) -> None:
        if time.monotonic() - self._tidied_at > TIDY_EVERY_SECONDS:
            source.tidy()
            self._tidied_at = time.monotonic()
        self._copier.turn()
