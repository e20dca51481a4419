"""What only one machine can have: names, MACs, serial numbers, system UUIDs in either byte order, BMC addresses."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from machines import identity
from machines.inventory import schema
from machines.inventory.problems import Problem

Key = tuple[Any, ...]


def find_twins(entries: list[Any], machines: dict[str, Any], bmcs: dict[int, Any]) -> list[Problem]:
    """Problems that name both: two places of the file, or one and the machine that has it.

    MACs that other machines have are found where cards are looked up.
    """
    in_file = {entry.item.row.pk for entry in entries if entry.item.kind is schema.MACHINE and entry.item.row.pk}
    stored = _stored(machines, bmcs, in_file)
    seen: dict[Key, int] = {}
    problems = []
    for entry in entries:
        for key, item, column in _keys(entry):
            if not key[1]:
                continue  # what it should be was wrong, and that has been said
            cell = item.record.cells.get(column)
            line, name = (cell.line, cell.column) if cell else (item.record.line, column)
            value = entry.item.row.serial if key[0] == "serial" else key[1]
            if key in seen:
                words = _("%(value)s is there twice: also in line %(line)s")
                problems.append(Problem(line, name, words % {"value": value, "line": seen[key]}))
            elif key in stored:
                words = _("%(value)s belongs to %(owner)s")
                problems.append(Problem(line, name, words % {"value": value, "owner": stored[key].name}))
            seen.setdefault(key, line)
    return problems


def _stored(machines: dict[str, Any], bmcs: dict[int, Any], in_file: set[int]) -> dict[Key, Any]:
    """What machines have that the file does not speak of; of the others the file's plan says it."""
    found: dict[Key, Any] = {}
    for machine in machines.values():
        if machine.pk is None or machine.pk in in_file:
            continue
        found |= dict.fromkeys(_machine_keys(machine), machine)
        if (bmc := bmcs.get(machine.pk)) and bmc.host:
            found[_bmc_key(bmc)] = machine
    return found


def _keys(entry: Any) -> Iterator[tuple[Key, Any, str]]:
    kind = entry.item.kind
    if kind is not schema.MACHINE:
        yield (kind.name, str(getattr(entry.item.row, kind.columns[0]))), entry.item, kind.columns[0]
        return
    yield ("machine", entry.item.row.name), entry.item, "name"
    for key in _machine_keys(entry.item.row):
        yield key, entry.item, key[0]
    for part in entry.parts:
        if part.kind is schema.INTERFACE:
            yield ("mac", part.row.mac), part, "mac"
        elif part.kind is schema.BMC and part.row.host:
            yield _bmc_key(part.row), part, "host"
        elif part.kind is schema.DISK:
            yield ("disk", part.row.serial or part.row.wwn, part.row.wwn, entry.item.row.name), part, "serial"


def _machine_keys(machine: Any) -> Iterator[Key]:
    if serial := identity.normal_serial(machine.serial):
        yield "serial", serial.casefold()
    if value := identity.normal_uuid(machine.uuid):
        yield "uuid", min(identity.spellings_of_uuid(value))


def _bmc_key(bmc: Any) -> Key:
    return "bmc", *bmc.reach
