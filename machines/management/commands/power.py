"""Asks for a power command and waits until a worker has carried it out."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from machines import actions
from machines.management.looking_up import asker, machine_named
from machines.models import PowerCommand

PATIENCE_SECONDS = 120


class Command(BaseCommand):
    help = "Switch a machine on, off, off softly (hard after a minute), reset it, or read its power."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("machine")
        parser.add_argument("action", choices=actions.POWER_ACTIONS)

    def handle(self, *args: Any, **options: Any) -> None:
        machine = machine_named(options["machine"])
        try:
            command = actions.request_power(machine, options["action"], by=asker())
        except actions.Refused as exc:
            raise CommandError(str(exc)) from exc
        ended = _wait_for(command)
        if ended.state != PowerCommand.State.DONE:
            raise CommandError(ended.message or "no worker took the command: is Dodai running (`manage.py up`)?")
        self.stdout.write(f"{machine.name}: {ended.message}")


def _wait_for(command: PowerCommand) -> PowerCommand:
    end = time.monotonic() + PATIENCE_SECONDS
    while command.ended_at is None and time.monotonic() < end:
        time.sleep(0.1)
        command.refresh_from_db()
        if command.state == PowerCommand.State.ASKED and time.monotonic() > end - PATIENCE_SECONDS + 10:
            break
    return command
