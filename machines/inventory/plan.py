"""What a file would change: things, their parts, and which of their fields."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.conf import settings

from machines.inventory.problems import Problem
from machines.inventory.reading import Record
from machines.inventory.schema import Kind
from machines.models.history import Changes


@dataclass
class Item:
    """One thing of the file: the row as it would be, and how it differs from what is stored."""

    kind: Kind
    record: Record
    row: Any
    is_new: bool
    changes: Changes = field(default_factory=dict)
    password: str | None = None

    @property
    def attributes(self) -> list[str]:
        return list(self.changes)


@dataclass
class Entry:
    """One thing with its parts, as the preview shows it."""

    item: Item
    parts: list[Item]

    @property
    def items(self) -> list[Item]:
        return [self.item, *self.parts]

    @property
    def is_changed(self) -> bool:
        return not self.item.is_new and any(item.is_new or item.changes for item in self.items)


@dataclass
class Plan:
    entries: list[Entry]
    problems: list[Problem]

    @cached_property
    def new(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.item.is_new]

    @cached_property
    def changed(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_changed]

    @property
    def unchanged(self) -> int:
        return len(self.entries) - len(self.new) - len(self.changed)

    @property
    def items(self) -> Iterator[Item]:
        return (item for entry in self.entries for item in entry.items)

    @cached_property
    def digest(self) -> str:
        """Names everything that would be written, passwords too, and says nothing of them."""
        said = [
            [item.kind.name, item.record.line, item.is_new, str(item.row), item.changes, item.password]
            for item in self.items
            if item.is_new or item.changes
        ]
        text = json.dumps(said, sort_keys=True)
        return hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()

    def permissions(self) -> set[str]:
        """What somebody must be allowed to do this. Whose protection changes is for admins, as on a machine's page."""
        needed = {
            f"machines.{'add' if item.is_new else 'change'}_{item.kind.model._meta.model_name}"
            for item in self.items
            if item.is_new or item.changes
        }
        if any(not item.is_new and "protected" in item.changes for item in self.items):
            needed.add("machines.delete_machine")
        return needed
