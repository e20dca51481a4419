"""History of the inventory: a row for each edit that somebody made, with what it changed.

simple-history keeps the snapshots; this decides when there is one. Passwords leave only the mark that they changed.
"""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models.signals import pre_save
from django.utils.timezone import now
from simple_history.models import HistoricalRecords

from machines import acting

SECRETS = ("password_sealed", "secrets_sealed")
ADDED, CHANGED, REMOVED = "+", "~", "-"
Changes = dict[str, list[str]]
"""Column -> what it was and what it is, as people read them. The secret ones have no values."""


HISTORIES: dict[Any, "InventoryHistory"] = {}
"""Model -> its history."""


class Edit(models.Model):
    """What our rows have beside simple-history's columns."""

    history_by = models.CharField(max_length=acting.LONGEST_NAME, blank=True)
    history_changes = models.JSONField(default=dict)

    class Meta:
        abstract = True


class InventoryHistory(HistoricalRecords):
    """Put on a model with the columns that people fill in. Saves of other columns, or by nobody, leave no row."""

    def __init__(self, *tracked: str) -> None:
        super().__init__(bases=[Edit], user_related_name="+")
        self.tracked = tracked
        self.rows: Any = None

    def fields_included(self, model: Any) -> list[Any]:
        return [field for field in model._meta.fields if field.primary_key or field.name in self.tracked]

    def get_meta_options(self, model: Any) -> dict[str, Any]:
        return super().get_meta_options(model) | {"default_permissions": ()}

    def finalize(self, sender: Any, **kwargs: Any) -> None:
        super().finalize(sender, **kwargs)
        if sender is self.cls:
            HISTORIES[sender] = self
            self.rows = vars(sender)[self.manager_name].model  # `instance.history` makes a class at each look: 2 ms
            pre_save.connect(self.pre_save, sender=sender, weak=False)

    def pre_save(self, instance: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Keep what is stored now, if this save may change it."""
        instance._before = None
        if acting.current() is None or instance._state.adding or kwargs.get("raw"):
            return
        watched = {*self.tracked, *SECRETS}
        if update_fields is None or watched & set(update_fields):
            instance._before = type(instance)._base_manager.filter(pk=instance.pk).first()

    def post_save(self, instance: Any, created: bool, using: str | None = None, **kwargs: Any) -> None:
        before = instance.__dict__.pop("_before", None)
        if kwargs.get("raw"):
            return
        if created:
            self._write(instance, ADDED, {})
        elif before is not None and (changes := self.changes(before, instance, kwargs.get("update_fields"))):
            self._write(instance, CHANGED, changes)

    def post_delete(self, instance: Any, using: str | None = None, **kwargs: Any) -> None:
        self._write(instance, REMOVED, {})

    def changes(self, before: Any, after: Any, update_fields: Iterable[str] | None = None) -> Changes:
        """What differs in the tracked columns that were stored."""
        stored = set(update_fields) if update_fields is not None else None
        found = {}
        for field in after._meta.fields:
            if field.name not in (*self.tracked, *SECRETS) or (stored is not None and field.name not in stored):
                continue
            if getattr(before, field.attname) != field.to_python(getattr(after, field.attname)):
                found[field.name] = [] if field.name in SECRETS else [_shown(before, field), _shown(after, field)]
        return found

    def row(self, instance: Any, kind: str, changes: Changes, actor: acting.Actor) -> Any:
        """An unsaved row of the history."""
        values = {field.attname: getattr(instance, field.attname) for field in self.fields_included(instance)}
        return self.rows(
            history_date=now(), history_type=kind, history_user=actor.user, history_by=actor.name,
            history_changes=changes, **values,
        )  # fmt: skip

    def _write(self, instance: Any, kind: str, changes: Changes) -> None:
        if actor := acting.current():
            self.row(instance, kind, changes, actor).save()


def record_many(edits: Iterable[tuple[Any, str, Changes]]) -> None:
    """History of rows that were written in bulk, which sends no signals: (instance, kind, changes) each."""
    actor = acting.current()
    if actor is None:
        return
    rows: dict[Any, list[Any]] = {}
    for instance, kind, changes in edits:
        model = type(instance)
        rows.setdefault(model, []).append(HISTORIES[model].row(instance, kind, changes, actor))
    for model, made in rows.items():
        HISTORIES[model].rows.objects.bulk_create(made, batch_size=500)


def _shown(instance: Any, field: Any) -> str:
    """A value as people read it; of another row its name."""
    if field.is_relation:
        related = getattr(instance, field.name)
        return "" if related is None else str(related)
    value = field.to_python(getattr(instance, field.attname))
    return "" if value is None else str(value)
