"""What the database is, and whether it is the one that this program wants."""

from functools import cache

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


def of_it() -> tuple[str, str, int]:
    """(kind, version, bytes)."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT sqlite_version(), page_count * page_size FROM pragma_page_count, pragma_page_size")
            version, size = cursor.fetchone()
            return "SQLite", version, size
        cursor.execute("SELECT current_setting('server_version'), pg_database_size(current_database())")
        version, size = cursor.fetchone()
        return "PostgreSQL", version.split()[0], size


def unapplied_migrations() -> list[str]:
    """`installs.0004_notices`, ... that the program has and the database has not. One query."""
    applied = MigrationRecorder(connection).applied_migrations()
    return [f"{app}.{name}" for app, name in _known_migrations() if (app, name) not in applied]


@cache
def _known_migrations() -> tuple[tuple[str, str], ...]:
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return tuple(sorted(loader.disk_migrations))
