"""How much of what is written a power cut may take."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def may_lose_the_last_second() -> Iterator[None]:
    """For progress and lines of logs: written without waiting for the disk, as part of a second that may be lost.

    SQLite waits for the disk again at the next commit that does, or soon by itself. Inside of a transaction, and on
    other databases, nothing is different.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    _wait_for_the_disk("NORMAL")
    try:
        yield
    finally:
        try:
            _wait_for_the_disk("FULL")
        except BaseException:
            connection.close()  # the next one begins with what the settings say
            raise


def _wait_for_the_disk(how: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA synchronous={how}")
