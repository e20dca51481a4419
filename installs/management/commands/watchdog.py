"""Notices what is overdue."""

from typing import Any

from django.core.management.base import BaseCommand

from installs import sweep
from machines import jobs, loops

EVERY_SECONDS = 1.0


class Command(BaseCommand):
    help = "Stop what is overdue and ring for what is due. Runs until stopped; several do no harm."

    def handle(self, *args: Any, **options: Any) -> None:
        sweep.started()
        loops.until_told(_turn, every_seconds=EVERY_SECONDS)


def _turn() -> None:
    sweep.sweep()
    jobs.ring_for_due()
