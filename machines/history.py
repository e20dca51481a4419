"""What people changed in the inventory of a machine, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.utils.translation import gettext as _

from dodaiweb.stored_words import told
from machines.models import Bmc, Disk, Interface, Link, Machine
from machines.models.history import ADDED, REMOVED, SECRETS

LONGEST_VALUE = 60


@dataclass(frozen=True)
class Change:
    at: datetime
    by: str
    words: str


def changes_of(machine: Machine, limit: int = 20) -> list[Change]:
    """The newest edits of a machine, its BMC, network cards, bonds, VLANs and disks, newest first. Five queries."""
    rows = list(_newest(machine.history.filter(id=machine.pk), limit))
    for model in (Bmc, Interface, Link, Disk):
        rows += _newest(model.history.filter(machine_id=machine.pk), limit)
    rows.sort(key=lambda row: (row.history_date, row.history_id), reverse=True)
    return [Change(row.history_date, told(row.history_by), words_of(row)) for row in rows[:limit]]


def changes_of_any(thing: Any, limit: int = 20) -> list[Change]:
    """The newest edits of any row of the inventory; of a machine also its parts'."""
    if isinstance(thing, Machine):
        return changes_of(thing, limit)
    rows = _newest(thing.history.filter(id=thing.pk), limit)
    return [Change(row.history_date, told(row.history_by), words_of(row)) for row in rows]


def words_of(row: Any) -> str:
    """One row of the history: `BMC: address 10.0.0.1 → 10.0.0.2, password changed`."""
    subject = _subject(row)
    if row.history_type == ADDED:
        return _("%(what)s added") % {"what": subject} if subject else _("entered into the inventory")
    if row.history_type == REMOVED:
        return _("%(what)s removed") % {"what": subject} if subject else _("removed from the inventory")
    changes = ", ".join(_changes(row))
    return f"{subject}: {changes}" if subject else changes


def name_of(model: Any, column: str) -> str:
    """What a column is called in the reader's language; one that no longer exists keeps its own name."""
    try:
        return str(model._meta.get_field(column).verbose_name)
    except FieldDoesNotExist:
        return column


def _newest(rows: Any, limit: int) -> Any:
    return rows.order_by("-history_date", "-history_id")[:limit]


def _subject(row: Any) -> str:
    match row.instance_type:
        case kind if kind is Bmc:
            return _("BMC")
        case kind if kind is Interface:
            return _("network card %(mac)s") % {"mac": row.mac}
        case kind if kind is Link:
            return str(row.name)
        case kind if kind is Disk:
            return _("disk %(disk)s") % {"disk": row.serial or row.wwn}
    return ""


def _changes(row: Any) -> Iterator[str]:
    order = [field.name for field in row.instance_type._meta.fields]  # PostgreSQL keeps keys in an order of its own
    changes: dict[str, list[str]] = row.history_changes
    for column in sorted(changes, key=lambda name: order.index(name) if name in order else len(order)):
        values = changes[column]
        if column in SECRETS:
            yield _("password changed")
        else:
            old, new = (_value(value) for value in values)
            yield f"{name_of(row.instance_type, column)} {old} → {new}"


def _value(text: str) -> str:
    """A value in a line: the beginning of a long one; yes, no and nothing as words."""
    words = {"True": _("yes"), "False": _("no"), "": _("nothing")}
    line = " ".join(text.split())
    return str(words.get(text) or (line if len(line) <= LONGEST_VALUE else line[: LONGEST_VALUE - 1] + "…"))
