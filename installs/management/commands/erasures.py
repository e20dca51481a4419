"""Records of erased disks."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from installs.erasing import records
from installs.models import Erasure


class Command(BaseCommand):
    help = "Show the records of erased disks, the newest first, and whether they are as Dodai wrote them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--machine", help="only of the machine that had this name then")
        parser.add_argument("--disk", help="only of the disk with this serial number or WWN")
        parser.add_argument("--limit", type=int, default=100, help="at most so many (100)")
        parser.add_argument("--json", action="store_true", help="a line of JSON each, with all that it says")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit must be at least 1.")
        found = Erasure.objects.all()
        if options["machine"]:
            found = found.filter(machine_name=options["machine"])
        if options["disk"]:
            found = found.filter(Q(serial=options["disk"]) | Q(wwn=options["disk"]))
        for record in found[: options["limit"]]:
            self.stdout.write(_as_json(record) if options["json"] else _line(record))


def _as_json(record: Erasure) -> str:
    return json.dumps({
        "record": record.text, "signature": record.signature, "valid": records.is_genuine(record),
    })  # fmt: skip


def _line(record: Erasure) -> str:
    if not records.is_genuine(record):
        return f"{record.at:%Y-%m-%d %H:%M}  {record.machine_name}  {record.serial or record.wwn}  ALTERED"
    said = records.facts_of(record)
    outcome = f"{said['method']}  {said['level']}" if said["proven"] else f"NOT ERASED: {said['problem']}"
    return f"{record.at:%Y-%m-%d %H:%M}  {record.machine_name}  {record.serial or record.wwn}  {outcome}  valid"
