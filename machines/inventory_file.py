"""Machines as CSV or YAML: one row a machine. Passwords go in and never come out.

Columns: name, site, type, cluster, rack, unit, serial, uuid, owner, notes, pxe_mac, other_macs, power_driver,
bmc_host, bmc_port, bmc_user, bmc_password, root_disk (serial number or WWN). See docs/inventory.md.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import transaction

from machines import identity
from machines.models import Bmc, Cluster, Disk, Interface, Machine, MachineType, Site
from machines.power import DRIVERS

COLUMNS = (
    "name", "site", "type", "cluster", "rack", "unit", "serial", "uuid", "owner", "notes", "pxe_mac", "other_macs",
    "power_driver", "bmc_host", "bmc_port", "bmc_user", "bmc_password", "root_disk",
)  # fmt: skip
SECRET = "bmc_password"  # noqa: S105 - the name of a column
OWN_COLUMNS = ("rack", "serial", "uuid", "owner", "notes")
FORMULA_STARTS = ("=", "+", "-", "@", "\t")  # a spreadsheet would run what begins so
BIGGEST_FILE_BYTES = 20 << 20


class InventoryProblem(Exception):
    """What is wrong, a line each, named by line and column. Nothing was written."""


@dataclass(frozen=True)
class Row:
    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Result:
    created: int
    changed: int


def read(path: Path) -> list[Row]:
    """The rows of a .csv, .yaml or .yml file. Raises InventoryProblem."""
    try:
        if path.stat().st_size > BIGGEST_FILE_BYTES:
            raise InventoryProblem(f"{path.name} is larger than {BIGGEST_FILE_BYTES >> 20} MiB: split it")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InventoryProblem(f"cannot read {path}: {exc}") from exc
    rows = _read_yaml(text) if path.suffix in (".yaml", ".yml") else _read_csv(text)
    if unknown := sorted({column for row in rows for column in row.values} - set(COLUMNS)):
        raise InventoryProblem(f"unknown column {unknown[0]!r}; the columns are: {', '.join(COLUMNS)}")
    return rows


def store(rows: list[Row]) -> Result:
    """Enter all rows, or none. A machine that exists is changed in the columns that its row fills."""
    problems: list[str] = []
    created = 0
    with transaction.atomic():
        for row in rows:
            try:
                with transaction.atomic():
                    created += _store(row)
            except (ValidationError, identity.BadIdentity, ValueError) as exc:
                problems.extend(f"line {row.line}, {text}" for text in _words(exc))
        if problems:
            transaction.set_rollback(True)
    if problems:
        raise InventoryProblem("\n".join(problems))
    return Result(created, len(rows) - created)


def write(path: Path) -> int:
    """Export all machines but the practice servers, without any password. Returns how many."""
    machines = (
        Machine.objects.real().select_related("site", "type", "cluster", "bmc").prefetch_related("interfaces", "disks")
    )
    rows = [_row_of(machine) for machine in machines]
    columns = [column for column in COLUMNS if column != SECRET]
    if path.suffix in (".yaml", ".yml"):
        text = yaml.safe_dump(rows, sort_keys=False, allow_unicode=True)
    else:
        sink = io.StringIO()
        writer = csv.DictWriter(sink, columns)
        writer.writeheader()
        writer.writerows({key: _not_a_formula(value) for key, value in row.items()} for row in rows)
        text = sink.getvalue()
    path.write_text(text, encoding="utf-8")
    return len(rows)


def _read_csv(text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows = []
    try:
        for values in reader:
            if None in values or None in values.values():
                raise InventoryProblem(f"line {reader.line_num}: has another number of columns than the first line")
            rows.append(Row(reader.line_num, {key.strip(): _plain(value) for key, value in values.items()}))
    except csv.Error as exc:
        raise InventoryProblem(f"line {reader.line_num}: {exc}") from exc
    return rows


def _read_yaml(text: str) -> list[Row]:
    try:
        # BaseLoader takes every value as the text it is: to YAML 1.1 a MAC of digits is a number in base 60.
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        values = yaml.load(text, Loader=yaml.BaseLoader) or []  # noqa: S506 - makes nothing but text, lists and dicts
    except (yaml.YAMLError, RecursionError) as exc:
        raise InventoryProblem(f"not YAML: {exc}") from exc
    if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
        raise InventoryProblem("the file must be a list of machines, each with its columns (see docs/inventory.md)")
    lines = [item.start_mark.line + 1 for item in node.value] if node else []
    return [
        Row(line, {str(key): str(value) for key, value in item.items()})
        for line, item in zip(lines, values, strict=True)
    ]


def _store(row: Row) -> int:
    """1 when the machine is new. Raises ValidationError with the columns' names as keys."""
    values = {column: value.strip() for column, value in row.values.items() if value.strip()}
    if "name" not in values:
        raise ValidationError({"name": "every machine needs a name"})
    machine = Machine.objects.filter(name=values["name"]).first()
    is_new = machine is None
    machine = machine or Machine(name=values["name"], site=_named(Site, values.get("site", "main"), "site"))
    for column in OWN_COLUMNS:
        if column in values:
            setattr(machine, column, values[column])
    if "unit" in values:
        machine.unit = _number(values, "unit", 999)
    for column, model in (("site", Site), ("type", MachineType), ("cluster", Cluster)):
        if column in values:
            setattr(machine, column, _named(model, values[column], column))
    machine.full_clean()
    machine.save()
    _store_cards(machine, values)
    _store_bmc(machine, values)
    _store_root_disk(machine, values)
    return int(is_new)


def _store_cards(machine: Machine, values: dict[str, str]) -> None:
    wanted = [("pxe_mac", text) for text in values.get("pxe_mac", "").split()]
    wanted += [("other_macs", text) for text in values.get("other_macs", "").replace(",", " ").split()]
    for column, text in wanted:
        try:
            mac = identity.normal_mac(text)
        except identity.BadIdentity as exc:
            raise ValidationError({column: str(exc)}) from exc
        card = Interface.objects.filter(mac=mac).first() or Interface(mac=mac, machine=machine)
        if card.machine_id != machine.pk:
            raise ValidationError({column: f"{mac} belongs to {card.machine.name}"})
        if column == "pxe_mac":
            machine.interfaces.filter(is_pxe=True).exclude(mac=mac).update(is_pxe=False)
        card.is_pxe = column == "pxe_mac"
        card.save()


def _store_bmc(machine: Machine, values: dict[str, str]) -> None:
    if not any(column in values for column in ("power_driver", "bmc_host", "bmc_port", "bmc_user", SECRET)):
        return
    bmc = Bmc.objects.filter(machine=machine).first() or Bmc(machine=machine, driver="ipmi")
    if values.get("power_driver", bmc.driver) not in DRIVERS:
        raise ValidationError({"power_driver": f"choose one of {', '.join(DRIVERS)}"})
    bmc.driver = values.get("power_driver", bmc.driver)
    bmc.host, bmc.username = values.get("bmc_host", bmc.host), values.get("bmc_user", bmc.username)
    if "bmc_port" in values:
        bmc.port = _number(values, "bmc_port", 65535)
    if SECRET in values:
        bmc.set_password(values[SECRET])
    twin = (
        Bmc.objects.exclude(pk=bmc.pk).filter(driver=bmc.driver, host=bmc.host, port=bmc.port).exclude(host="").first()
    )
    if twin:
        raise ValidationError({"bmc_host": f"{bmc.host}:{bmc.port} is the BMC of {twin.machine.name}"})
    bmc.save()


def _store_root_disk(machine: Machine, values: dict[str, str]) -> None:
    if "root_disk" not in values:
        return
    text = values["root_disk"]
    key = "wwn" if text.lower().startswith(("0x", "eui.", "nvme.", "naa.")) else "serial"
    machine.disks.filter(is_root=True).update(is_root=False)
    disk = machine.disks.filter(**{key: text}).first() or Disk(machine=machine)
    setattr(disk, key, text)
    disk.is_root = True
    disk.save()


def _row_of(machine: Machine) -> dict[str, str]:
    cards, bmc = list(machine.interfaces.all()), getattr(machine, "bmc", None)
    root = next((disk for disk in machine.disks.all() if disk.is_root), None)
    values: dict[str, Any] = {
        column: getattr(machine, column) for column in ("name", *OWN_COLUMNS, "unit", "site", "type", "cluster")
    }
    values |= {
        "pxe_mac": next((card.mac for card in cards if card.is_pxe), ""),
        "other_macs": " ".join(card.mac for card in cards if not card.is_pxe),
        "power_driver": bmc.driver if bmc else "", "bmc_host": bmc.host if bmc else "",
        "bmc_port": bmc.port if bmc and bmc.host else "", "bmc_user": bmc.username if bmc else "",
        "root_disk": str(root.serial or root.wwn) if root else "",
    }  # fmt: skip
    return {column: "" if values[column] is None else str(values[column]) for column in COLUMNS if column != SECRET}


def _named(model: Any, name: str, column: str) -> Any:
    found = model.objects.filter(name=name).first()
    if found is None:
        raise ValidationError({column: f"there is no {column} {name!r}: create it first"})
    return found


def _number(values: dict[str, str], column: str, biggest: int) -> int:
    if not values[column].isdecimal() or not 1 <= int(values[column]) <= biggest:
        raise ValidationError({column: f"{values[column]!r} is no number from 1 to {biggest}"})
    return int(values[column])


def _plain(value: str) -> str:
    """Undo what `_not_a_formula` did."""
    return value[1:] if value[:1] == "'" and value[1:2] in FORMULA_STARTS else value


def _not_a_formula(value: str) -> str:
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value


def _words(exc: Exception) -> list[str]:
    if isinstance(exc, ValidationError) and hasattr(exc, "error_dict"):
        return [f"column {column}: {text}" for column, texts in exc.message_dict.items() for text in texts]
    return [str(exc)]
