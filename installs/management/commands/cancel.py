"""Cancels the live install of a machine."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs import actions
from installs.models import Install
from machines.management.looking_up import asker, machine_named


class Command(BaseCommand):
    help = "Cancel the install that is under way on a machine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("machine")

    def handle(self, *args: Any, **options: Any) -> None:
        machine = machine_named(options["machine"])
        install = Install.objects.live().filter(machine=machine).first()
        if install is None:
            raise CommandError(f"no install is under way on {machine.name}")
        try:
            actions.cancel(install, by=asker())
        except actions.Refused as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"{install} of {machine.name} is being stopped")
