"""Installs an image on a machine and shows the steps as they happen."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs import actions, logs, plan
from installs.management.looking_up import image_named
from installs.models import Install
from installs.watching import Line, follow
from machines.management.looking_up import asker, machine_named


class Command(BaseCommand):
    help = "Install an image on a machine. Exit status: 0 installed (or queued, without --wait), 1 failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("machine")
        parser.add_argument("image")
        parser.add_argument("--yes", action="store_true", help="do not ask; the plan is printed all the same")
        parser.add_argument(
            "--confirm",
            metavar="WHAT",
            help="digest of the plan, or the machine's name: where --yes is not enough",
        )
        parser.add_argument("--wait", action="store_true", help="print steps as they happen until it has ended")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        machine, image = machine_named(options["machine"]), image_named(options["image"])
        made = plan.for_install(machine, image)
        if not options["json"]:
            self._show(made)
        if not made.is_possible:
            raise CommandError(" ".join(made.problems))
        self._confirm(made, confirmed=options["confirm"], is_sure=options["yes"])
        try:
            install = actions.start_install(machine, image, by=asker(), approved=made.digest)
        except actions.Refused as exc:
            raise CommandError(str(exc)) from exc
        if options["wait"]:
            self._wait(install, as_json=options["json"])
        elif options["json"]:
            self.stdout.write(json.dumps({"install": install.pk, "state": install.state}))
        else:
            self.stdout.write(f"{install} is queued; follow it with --wait or in the browser")

    def _show(self, made: plan.Plan) -> None:
        disk = made.disk
        where = "no disk is written"
        if disk:
            seen = f"{disk.model or 'unknown model'}, {disk.size_bytes or 0:,} bytes, last seen as {disk.path}"
            where = f"will be wiped: {disk} ({seen})"
        self.stdout.write(f"{made.machine}: {made.image} by {made.method}\n{where}")
        for warning in made.warnings:
            self.stdout.write(f"note: {warning}")
        self.stdout.write(f"plan {made.digest}")

    def _confirm(self, made: plan.Plan, *, confirmed: str | None, is_sure: bool) -> None:
        if confirmed is not None:
            if confirmed not in (made.digest, made.machine.name):
                raise CommandError("nothing was started: the plan is not the one with this digest, look at it again")
            return
        if is_sure and not made.needs_typed_name:
            return
        if is_sure:
            raise CommandError(f"{made.typed_because} --yes does not confirm that: use --confirm {made.digest}")
        wanted = made.machine.name if made.needs_typed_name else "yes"
        try:
            typed = input(f"Type {wanted!r} to go on: ")
        except EOFError:
            raise CommandError("nothing was started: answer the question, or use --yes") from None
        if typed.strip() != wanted:
            raise CommandError("nothing was started")

    def _wait(self, install: Install, *, as_json: bool) -> None:
        began = time.monotonic()
        for line in follow(install.pk):
            self._print(line, seconds=time.monotonic() - began, as_json=as_json)
        install.refresh_from_db()
        if as_json:
            columns = ("state", "cause", "error", "left_behind", "error_detail")
            end = {column: getattr(install, column) for column in columns}
            self.stdout.write(json.dumps({"kind": "end", "install": install.pk} | end))
        if install.state != "installed":
            detail = f"\n{logs.plain(install.error_detail)}" if install.error_detail else ""
            raise CommandError(f"{install.state}: {install.error} {install.left_behind}{detail}")

    def _print(self, line: Line, *, seconds: float, as_json: bool) -> None:
        if as_json:
            self.stdout.write(
                json.dumps({"seconds": round(seconds, 2), "kind": line.kind, "name": line.name, "text": line.text})
            )
        else:
            self.stdout.write(f"{seconds:7.1f} s  {line.name:<16} {logs.plain(line.text)}".rstrip())
        self.stdout.flush()
