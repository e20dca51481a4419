"""Questions that are asked a million times: Django takes ten times as long to word a query as SQLite to answer it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet


class Asked:
    """A question by `values`, worded once for each database. Times come as datetimes, in UTC."""

    def __init__(self, question: Callable[[], QuerySet[Any, Any]]) -> None:
        self._question = question
        self._worded: tuple[str, Any, list[str]] | None = None

    def __call__(self, *instead: Any) -> list[dict[str, Any]]:
        """The rows. `instead` are values that take the place of those in the question."""
        if self._worded is None:
            query = self._question().query
            self._worded = *query.sql_with_params(), [*query.values_select]
        sql, params, names = self._worded
        with connection.cursor() as cursor:
            cursor.execute(sql, instead or params)
            return [_read(names, row) for row in cursor.fetchall()]


class Writes:
    """Whether anything may have been written since it was last asked."""

    def __init__(self) -> None:
        self._any = True

    @contextmanager
    def watched(self) -> Iterator[None]:
        with connection.execute_wrapper(self._look):
            yield

    def any_since(self) -> bool:
        found, self._any = self._any, False
        return found

    def _look(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(("SELECT", "SAVEPOINT", "RELEASE")):
            self._any = True
        return execute(sql, params, many, context)


def _read(names: list[str], row: tuple[Any, ...]) -> dict[str, Any]:
    return {name: _time(value) if name.endswith(("_at", "_until")) else value
            for name, value in zip(names, row, strict=True)}  # fmt: skip


def _time(value: Any) -> datetime | None:
    """SQLite knows no zones: all its times are in UTC."""
    return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value
