"""Checks of Dodai itself: database, queue, processes, BMCs, how it is served."""

import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import django_rq
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.timezone import now
from rq import Worker

from dodaiweb.doctor import Finding
from installs import reach
from installs.sweep import WATCHDOG
from machines import bmc_test, bmc_words
from machines.models import Beat, Bmc, Machine

NAMED = 5
BEAT_IS_LATE_AFTER = timedelta(seconds=30)
ANSWER_SECONDS = 5
POLL_IS_LATE_AFTER = timedelta(minutes=5)


def database() -> Iterator[Finding]:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as exc:
        yield Finding("database-away", {"error": type(exc).__name__})
        return
    if missing:
        yield Finding("migrations-missing", {"count": len(missing)})
    else:
        yield Finding("database-right", {"kind": connection.vendor})


def queue() -> Iterator[Finding]:
    try:
        waiting, workers = django_rq.get_queue().count, Worker.count(connection=django_rq.get_connection())
    except redis.RedisError as exc:
        yield Finding("queue-away", {"error": type(exc).__name__})
        return
    yield Finding("workers", {"count": workers, "waiting": waiting}) if workers else Finding("no-workers")


def queue_is_private() -> Iterator[Finding]:
    """Whether a password or the mode of its socket keeps others from it. Nothing is found where nobody answers."""
    parts = urlsplit(str(settings.RQ_QUEUES["default"]["URL"]))
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        if parts.scheme == "unix" and not Path(parts.path).stat().st_mode & stat.S_IRWXO:
            yield Finding("queue-closed")
            return
        with redis.Redis.from_url(bare, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS) as nobody:
            nobody.ping()
    except redis.AuthenticationError:
        yield Finding("queue-closed")
    except (OSError, redis.RedisError):
        return
    else:
        yield Finding("queue-open", {"url": bare})


def processes() -> Iterator[Finding]:
    beat = Beat.objects.filter(pk=WATCHDOG).first()
    late = beat is None or beat.at < now() - BEAT_IS_LATE_AFTER
    yield Finding("watchdog-late") if late else Finding("watchdog-beats")
    old = now() - POLL_IS_LATE_AFTER
    unread = Machine.objects.to_poll().filter(power_poll_at__lt=old).count()
    if unread:
        yield Finding("poll-late", {"count": unread})


def bmcs() -> Iterator[Finding]:
    """From what the poll and the tests stored: nothing is asked now."""
    real = Machine.objects.real().to_poll()
    silent = list(real.exclude(power_error="").values_list("name", flat=True))
    if silent:
        yield Finding("bmcs-silent", {"count": len(silent), "names": ", ".join(silent[:NAMED])})
    untested = real.filter(bmc__tested_at=None).count()
    if untested:
        yield Finding("bmcs-untested", {"count": untested})
    worst: dict[str, list[str]] = {}
    for bmc in Bmc.objects.filter(machine__in=real, tested_at__isnull=False).select_related("machine"):
        worst.setdefault(bmc_words.worst(bmc.test_report), []).append(bmc.machine.name)
    for level, code in ((bmc_words.Level.DANGER, "bmcs-dangerous"), (bmc_words.Level.WEAK, "bmcs-weak")):
        if names := worst.get(level):
            yield Finding(code, {"count": len(names), "names": ", ".join(names[:NAMED])})


def passwords() -> Iterator[Finding]:
    for code, count in sorted(bmc_test.count_weak_passwords().items()):
        yield Finding(code, {"count": count})


def serving() -> Iterator[Finding]:
    if settings.DEBUG:
        yield Finding("debug-on")
    parts = urlsplit(settings.PAGES_URL)
    if parts.scheme == "http" and not reach.is_loopback(settings.PAGES_URL):
        yield Finding("plain-http", {"url": settings.PAGES_URL})
