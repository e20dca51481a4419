"""Imports machines from a file, or exports them into one."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from machines import inventory_file
from machines.management.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Import machines from a .csv or .yaml file (all rows or none), or export them (without passwords)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["import", "export"])
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if path.suffix not in (".csv", ".yaml", ".yml"):
            raise CommandError(f"{path.name}: the name must end in .csv, .yaml or .yml")
        try:
            if options["verb"] == "export":
                self.stdout.write(f"{inventory_file.write(path)} machines written to {path}")
                return
            result = inventory_file.store(inventory_file.read(path))
        except inventory_file.InventoryProblem as exc:
            raise CommandError(f"nothing was imported:\n{exc}") from exc
        except OSError as exc:
            raise CommandError(f"cannot write {path}: {exc.strerror}") from exc
        self.stdout.write(f"{result.created} machines created, {result.changed} changed")
