"""The inventory as a file: everything that an import reads but passwords, without the practice servers."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import yaml
from django.db.models import Q

from machines.inventory import schema
from machines.inventory.reading import FORMULA
from machines.inventory.schema import Kind
from machines.models import Machine, MachineQuerySet

DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def export_csv() -> str:
    """Machines, one a row; as many groups of columns as the machine with the most cards and disks needs."""
    machines = list(_machines())
    rows = [dict(_row(machine)) for machine in machines]
    groups = [
        *_numbered(schema.CSV_INTERFACE, max((len(machine.interfaces.all()) for machine in machines), default=1)),
        *_numbered(schema.CSV_DISK, max((len(_named_disks(machine)) for machine in machines), default=1)),
    ]
    columns = [*schema.MACHINE.columns, *(name for name in schema.CSV_BMC if name != f"bmc_{schema.PASSWORD}"), *groups]
    sink = io.StringIO()
    writer = csv.DictWriter(sink, columns, restval="", lineterminator="\r\n")  # RFC 4180
    writer.writeheader()
    writer.writerows({name: _not_a_formula(value) for name, value in row.items()} for row in rows)
    return sink.getvalue()


def export_yaml() -> str:
    """All sections, so that the file alone can fill an empty inventory; only passwords are to be put in."""
    document = {kind.section: [_values(kind, row) for row in _rows_of(kind)] for kind in schema.SHARED}
    document["machines"] = [_machine(machine) for machine in _machines()]
    filled = {section: rows for section, rows in document.items() if rows}
    text: str = yaml.dump(filled, Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _rows_of(kind: Kind) -> Any:
    """But those of the practice servers."""
    practice = {"site": Q(is_practice=True), "switch": Q(driver="lab")}
    rows = kind.model.objects.exclude(practice.get(kind.name, Q(pk=None)))
    return rows.select_related(*kind.links).order_by(kind.columns[0])


def _machines() -> MachineQuerySet:
    linked = Machine.objects.real().defer("facts").select_related("site", "type", "cluster__vlan", "bmc__credentials")
    return linked.prefetch_related("interfaces__switch", "disks")


def _named_disks(machine: Machine) -> list[Any]:
    return [disk for disk in machine.disks.all() if disk.serial or disk.wwn]


def _machine(machine: Machine) -> dict[str, Any]:
    values: dict[str, Any] = _values(schema.MACHINE, machine)
    if bmc := getattr(machine, "bmc", None):
        values["bmc"] = _values(schema.BMC, bmc)
    for part, rows in (("interfaces", machine.interfaces.all()), ("disks", _named_disks(machine))):
        if rows:
            values[part] = [_values(schema.PARTS[part], row) for row in rows]
    return values


def _row(machine: Machine) -> Iterator[tuple[str, str]]:
    yield from _values(schema.MACHINE, machine).items()
    if bmc := getattr(machine, "bmc", None):
        yield from ((f"bmc_{column}", text) for column, text in _values(schema.BMC, bmc).items())
    for columns, kind, rows in (
        (schema.CSV_INTERFACE, schema.INTERFACE, machine.interfaces.all()),
        (schema.CSV_DISK, schema.DISK, _named_disks(machine)),
    ):
        names = {column: name for name, column in columns.items()}
        for number, row in enumerate(rows, 1):
            yield from ((f"{names[column]}_{number}", text) for column, text in _values(kind, row).items())


def _values(kind: Kind, row: Any) -> dict[str, str]:
    """What is filled, by column; never a password."""
    found = {column: _text(kind, row, column) for column in kind.columns if column != schema.PASSWORD}
    return {column: text for column, text in found.items() if text}


def _text(kind: Kind, row: Any, column: str) -> str:
    value = getattr(row, schema.attribute(column))
    if column in kind.links and value is not None:
        value = getattr(value, "vid" if kind.links[column] == "vlan" else "name")
    if isinstance(value, bool):
        return "yes" if value else ("" if column in ("root", "protected") else "no")
    return "" if value is None else str(value)


def _numbered(columns: dict[str, str], count: int) -> list[str]:
    return [f"{name}_{number}" for number in range(1, max(count, 1) + 1) for name in columns]


def _not_a_formula(value: str) -> str:
    return f"'{value}" if FORMULA.match(value) else value
