"""Reads the power of all machines, again and again."""

from typing import Any

from machines import loops
from machines.management.keyed import KeyedCommand
from machines.poll import Poller


class Command(KeyedCommand):
    help = "Read the power state of all machines, each about every 30 s. Runs until stopped; one is enough."

    def handle(self, *args: Any, **options: Any) -> None:
        poller = Poller()
        loops.until_told(poller.turn, every_seconds=0.25)
        poller.close()
