"""Takes machines from their owners at the command line, gives them back, or erases them at once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs.actions import Refused
from installs.models import Install
from installs.releasing import erasing, release
from machines.management.looking_up import asker, machine_named
from machines.models import Machine


class Command(BaseCommand):
    help = "Release machines: they go off and out of their VLAN; their disks are erased once it cannot be undone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("machines", nargs="+", metavar="machine")
        parser.add_argument("--keep-minutes", type=int, metavar="N", help="for so long it can be undone; 0: not at all")
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--undo", action="store_true", help="give released machines back as they were")
        instead.add_argument("--erase", action="store_true", help="erase released machines now")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        machines = [machine_named(name) for name in options["machines"]]
        if not options["yes"] and not options["undo"]:
            self._confirm(machines, "erased now" if options["erase"] else "released")
        refused = 0
        for machine in machines:
            try:
                install = _begin(machine, options)
                self.stdout.write(f"{machine.name:<24} {install} has begun")
            except Refused as exc:
                refused += 1
                self.stderr.write(f"{machine.name:<24} {exc}")
        if refused:
            raise CommandError(f"{refused} of {len(machines)} were refused")

    def _confirm(self, machines: list[Machine], what: str) -> None:
        try:
            typed = input(f"{len(machines)} to be {what}. Type that number to go on: ")
        except EOFError:
            raise CommandError("nothing was begun: answer the question, or use --yes") from None
        if typed.strip() != str(len(machines)):
            raise CommandError("nothing was begun")


def _begin(machine: Machine, options: dict[str, Any]) -> Install:
    if options["undo"]:
        return release.undo_release(machine, by=asker())
    if options["erase"]:
        return erasing.erase(machine, by=asker())
    return release.release(machine, by=asker(), keep_minutes=options["keep_minutes"])
