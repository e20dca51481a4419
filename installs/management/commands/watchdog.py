"""Notices what is overdue."""

import time
from typing import Any

from django.core.management.base import BaseCommand

from dodaiweb import checkups, forgetting
from installs import reach, sweep
from installs.allocation import refill
from installs.allocation import turns as allocations
from installs.notices import outbox
from installs.releasing import due
from installs.waves import turns
from machines import jobs, loops

EVERY_SECONDS = 1.0
SELDOM_SECONDS = 30.0


class Command(BaseCommand):
    help = "Stop what is overdue and ring for what is due. Runs until stopped; several do no harm."

    def handle(self, *args: Any, **options: Any) -> None:
        sweep.started()
        self._seldom_at = time.monotonic()
        loops.until_told(self._turn, every_seconds=EVERY_SECONDS)

    def _turn(self) -> None:
        sweep.sweep()
        turns.take_all()
        allocations.take_all()
        refill.take_all()
        due.erase_due()
        jobs.ring_for_due()
        outbox.ring_for_due()
        if time.monotonic() >= self._seldom_at:
            self._seldom_at = time.monotonic() + SELDOM_SECONDS
            reach.ring_if_old()
            checkups.ring_for_due()
            outbox.forget_old()
            forgetting.forget_old()
