"""Tests the BMC of a machine and says what works and what is weak."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from machines import actions, bmc_test, bmc_words
from machines.management.looking_up import asker, machine_named
from machines.models import Bmc, PowerCommand

PATIENCE_SECONDS = 120
NOBODY_TAKES_IT_SECONDS = 15


class Command(BaseCommand):
    help = "Test a BMC: what works, what is weak, and what to do about it. What works is used from then on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["test"])
        parser.add_argument("machine")
        parser.add_argument(
            "--accept-certificate", action="store_true", help="take the certificate that it shows now for its own"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        machine = machine_named(options["machine"])
        try:
            command = bmc_test.request_test(machine, by=asker(), accept_certificate=options["accept_certificate"])
        except actions.Refused as exc:
            raise CommandError(str(exc)) from exc
        ended = _wait_for(command)
        if ended.state != PowerCommand.State.DONE:
            raise CommandError(ended.message or "no worker took the test: is Dodai running (`manage.py up`)?")
        self._tell(Bmc.objects.get(machine=machine))

    def _tell(self, bmc: Bmc) -> None:
        for sentence in bmc_words.sentences(bmc.test_report):
            self.stdout.write(f"{bmc_words.level_label(sentence.level):<15} {sentence.what}")
            if sentence.todo:
                self.stdout.write(f"{'':<15} {sentence.todo}")
        if not bmc.test_report.get("usable"):
            raise CommandError(f"{bmc.machine.name} cannot be switched by its BMC yet: see above.")


def _wait_for(command: PowerCommand) -> PowerCommand:
    began = time.monotonic()
    while command.ended_at is None and time.monotonic() < began + PATIENCE_SECONDS:
        time.sleep(0.1)
        command.refresh_from_db()
        if command.state == PowerCommand.State.ASKED and time.monotonic() > began + NOBODY_TAKES_IT_SECONDS:
            break
    return command
