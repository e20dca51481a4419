"""Figures for Prometheus, in its text format 0.0.4: what tells that an install, the watchdog or the queue is stuck.

A dozen figures, asked for when somebody looks, without labels that anybody types: less than a client library brings,
which counts within one process, and Dodai is many.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import django_rq
import redis
import rq
from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils.timezone import now
from rq.job import Job

from installs.lifecycle import LIVE, State
from installs.models import Install, Notice
from installs.sweep import WATCHDOG
from machines.models import Beat, Machine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WAIT_SECONDS = 2  # for an answer of Valkey: a page must come even when it does not


@dataclass(frozen=True)
class Figure:
    """One gauge. `labels` is empty or, say, `queue="default"`."""

    name: str
    help: str
    value: float
    labels: str = ""


def text() -> str:
    """All figures. What cannot be asked is left out, so that an alert on its absence fires."""
    lines, told = [], set()
    for figure in figures():
        if figure.name not in told:
            lines += [f"# HELP {figure.name} {figure.help}", f"# TYPE {figure.name} gauge"]
            told.add(figure.name)
        labels = f"{{{figure.labels}}}" if figure.labels else ""
        lines.append(f"{figure.name}{labels} {figure.value:.15g}")
    return "\n".join(lines) + "\n"


def figures() -> Iterator[Figure]:
    yield from _installs()
    yield from _clockwork()
    yield from _queues()


def past_deadline() -> tuple[int, timedelta]:
    """How many installs should have gone on or ended by now, and since when the longest."""
    moment = now()
    silent, capped = Q(quiet_until__lt=moment), Q(give_up_at__lt=moment)
    found = Install.objects.filter(silent | capped, state__in=LIVE - {State.QUEUED}).aggregate(
        n=Count("pk"), silent=Min("quiet_until", filter=silent), capped=Min("give_up_at", filter=capped)
    )
    oldest = min(filter(None, (found["silent"], found["capped"])), default=moment)
    return found["n"], moment - oldest


def _installs() -> Iterator[Figure]:
    number, longest = past_deadline()
    yield Figure("dodai_installs_overdue", "Live installs past their deadline.", number)
    yield Figure("dodai_installs_overdue_seconds", "By how much the longest is past it.", longest.total_seconds())
    live = dict(Install.objects.live().order_by().values_list("state").annotate(Count("pk")))
    for state in sorted(LIVE):
        yield Figure("dodai_installs_live", "Live installs by state.", live.get(state, 0), f'state="{state}"')


def _clockwork() -> Iterator[Figure]:
    if seen := Beat.objects.filter(pk=WATCHDOG).first():
        yield Figure("dodai_watchdog_beat_age_seconds", "Since the watchdog was last seen.", _age(seen.at))
    read = Machine.objects.to_poll().order_by().aggregate(oldest=Min("power_seen_at"))["oldest"]
    if read:
        yield Figure("dodai_power_reading_age_seconds", "Age of the oldest power reading.", _age(read))
    waiting = Notice.objects.filter(ended_at=None).aggregate(oldest=Min("created_at"))["oldest"]
    yield Figure("dodai_notice_age_seconds", "How long the oldest notice waits.", _age(waiting))


def _queues() -> Iterator[Figure]:
    """0 or 1 whether Valkey answers; the rest only where it does."""
    found: list[Figure] = []
    try:
        with valkey() as client:
            for name in settings.RQ_QUEUES:
                queue = rq.Queue(name, connection=client, serializer=django_rq.get_queue(name).serializer)
                found += _queue(queue, f'queue="{name}"')
            workers = len(rq.Worker.all(connection=client))
    except redis.RedisError:
        yield Figure("dodai_valkey_up", "Whether Valkey answers.", 0)
        return
    yield Figure("dodai_valkey_up", "Whether Valkey answers.", 1)
    yield Figure("dodai_workers", "Workers that are known to Valkey.", workers)
    yield from sorted(found, key=lambda figure: figure.name)


def _queue(queue: rq.Queue, labels: str) -> list[Figure]:
    failed = queue.failed_job_registry.count
    return [
        Figure("dodai_queue_jobs", "Jobs that wait.", queue.count, labels),
        Figure("dodai_queue_age_seconds", "How long the oldest job waits.", _age(oldest(queue)), labels),
        Figure("dodai_queue_failed_jobs", "Jobs that ended with an error.", failed, labels),
    ]


def oldest(queue: rq.Queue) -> datetime | None:
    """When the job was asked for that waits longest."""
    first = queue.get_job_ids(0, 1)
    found = Job.fetch_many(first, connection=queue.connection, serializer=queue.serializer) if first else []
    moment = found[0].enqueued_at if found and found[0] else None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def valkey() -> Any:
    """A connection that is closed at the end of a `with`."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS)
    return contextlib.closing(client)


def _age(moment: datetime | None) -> float:
    """Seconds; 0 where there is nothing to wait for."""
    return max(0.0, (now() - moment).total_seconds()) if moment else 0.0
