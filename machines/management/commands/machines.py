"""Imports the inventory from a file, or exports it into one."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from machines import acting, inventory
from machines.inventory.reading import BIGGEST_FILE_BYTES, decode
from machines.management.keyed import KeyedCommand

SHOWN = 200


class Command(KeyedCommand):
    help = "Import the inventory from a .csv or .yaml file (all of it or nothing), or export it (without passwords)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["import", "export"])
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="import: say what would change, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if path.suffix not in (".csv", ".yaml", ".yml"):
            raise CommandError(f"{path.name}: the name must end in .csv, .yaml or .yml")
        try:
            if options["verb"] == "export":
                _write(path, inventory.export_csv() if path.suffix == ".csv" else inventory.export_yaml())
                self.stdout.write(f"written to {path}")
            elif options["dry_run"]:
                self._show(inventory.make_plan(inventory.read(_text_of(path), path.name)))
            else:
                self._import(path)
        except inventory.InventoryProblem as exc:
            raise CommandError(f"nothing was imported:\n{exc}") from exc
        except OSError as exc:
            raise CommandError(f"{path}: {exc.strerror}") from exc

    def _import(self, path: Path) -> None:
        with acting.acting(acting.at_command_line):
            result = inventory.import_text(_text_of(path), path.name)
        self.stdout.write(f"{result.created} created, {result.changed} changed, {result.unchanged} unchanged")

    def _show(self, plan: inventory.Plan) -> None:
        if plan.problems:
            raise inventory.InventoryProblem(*plan.problems)
        for entry in [*plan.new, *plan.changed][:SHOWN]:
            said = [
                f"{name} {' -> '.join(values)}".strip() for item in entry.items for name, values in item.changes.items()
            ]
            self.stdout.write(f"{'new' if entry.item.is_new else 'change'} {entry.item.row}: {', '.join(said)}")
        self.stdout.write(f"{len(plan.new)} new, {len(plan.changed)} to change, {plan.unchanged} unchanged")


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        return decode(file.read(BIGGEST_FILE_BYTES + 1))


def _write(path: Path, text: str) -> None:
    """0600, as it says where every BMC is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
