"""Enters a plan: everything in one transaction, in batches, with its history."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from machines import doorbell
from machines.inventory import schema
from machines.inventory.plan import Item, Plan
from machines.inventory.planning import make_plan
from machines.inventory.problems import InventoryProblem, Problem
from machines.inventory.reading import read
from machines.models import Machine
from machines.models.history import ADDED, CHANGED, HISTORIES, record_many

ROWS_A_STATEMENT = 500
UPDATES_A_STATEMENT = 100  # a changed column of a row costs two values, and SQLite takes 32,766 a statement
ORDER = (*schema.SHARED, schema.MACHINE, schema.BMC, schema.INTERFACE, schema.DISK)


class Changed(Exception):
    """The inventory is no longer as it was when the plan was shown."""


@dataclass(frozen=True)
class Result:
    """Things with their parts counted as one."""

    created: int
    changed: int
    unchanged: int


def import_text(text: str, name: str, *, approved: str | None = None) -> Result:
    """Enter a file, all of it or nothing. Raises InventoryProblem.

    `approved` is the digest of the plan that somebody has seen: raises Changed when it would now be another. What the
    file means is found out before the transaction, which SQLite gives to one writer at a time.
    """
    records, edits, busy = read(text, name), _newest_edits(), _busy()
    plan = make_plan(records)
    if approved is not None and plan.digest != approved:
        raise Changed
    try:
        with transaction.atomic():
            _lock(_touched(plan))
            if _newest_edits() != edits or _touched(plan) & (_busy() - busy):
                raise IntegrityError
            return store(plan)
    except IntegrityError as exc:
        words = _("the inventory was changed at the same moment: nothing was imported, try again")
        raise InventoryProblem(Problem(0, "", words)) from exc


def store(plan: Plan) -> Result:
    """Raises InventoryProblem, and writes nothing, when anything is wrong."""
    if plan.problems:
        raise InventoryProblem(*plan.problems)
    items = list(plan.items)
    with transaction.atomic():
        for kind in ORDER:
            _store(kind.model, [item for item in items if item.kind is kind])
        record_many(
            (item.row, ADDED if item.is_new else CHANGED, {} if item.is_new else item.changes)
            for item in items
            if item.is_new or item.changes
        )
    doorbell.tell_pages()
    return Result(len(plan.new), len(plan.changed), plan.unchanged)


def _newest_edits() -> list[int | None]:
    """Another answer than before: somebody has edited the inventory since."""
    return [history.rows.objects.aggregate(newest=Max("history_id"))["newest"] for history in HISTORIES.values()]


def _busy() -> set[int]:
    return set(Machine.objects.exclude(handled_by="").values_list("pk", flat=True))


def _lock(numbers: set[int]) -> None:
    """So that nobody begins to work on them before this transaction ends; SQLite has one writer anyway."""
    if connection.features.has_select_for_update:
        list(Machine.objects.select_for_update().filter(pk__in=numbers).order_by("pk").values_list("pk"))


def _touched(plan: Plan) -> set[int]:
    return {entry.item.row.pk for entry in plan.changed if entry.item.kind is schema.MACHINE}


def _store(model: Any, items: list[Item]) -> None:
    for item in items:
        if item.password is not None:
            item.row.set_password(item.password)
    changed = [item for item in items if item.changes and not item.is_new]
    for flag in {"is_pxe", "is_root"} & {name for item in changed for name in item.changes}:
        # One card a machine may carry the mark: the one before gives it up first.
        model.objects.filter(pk__in=[i.row.pk for i in changed if flag in i.changes]).update(**{flag: False})
    for columns, rows in _by_columns(changed):
        model.objects.bulk_update(rows, columns, batch_size=UPDATES_A_STATEMENT)
    model.objects.bulk_create([item.row for item in items if item.is_new], batch_size=ROWS_A_STATEMENT)


def _by_columns(items: Iterable[Item]) -> Iterable[tuple[tuple[str, ...], list[Any]]]:
    """Rows that change the same columns, together: other columns may be the engine's meanwhile."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for item in items:
        found.setdefault(tuple(sorted(item.changes)), []).append(item.row)
    return found.items()
