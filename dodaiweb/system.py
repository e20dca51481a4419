"""What Dodai itself is doing: queues, processes, Valkey, database, disk; each with what to do when it is not well."""

import contextlib
import json
import platform
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
import django_rq
import redis
import rq
from django.conf import settings
from django.db.models import Count, Min, Q, Sum
from django.utils.timezone import now
from django.utils.translation import gettext as _
from rq import Worker
from rq.worker import BaseWorker

from dodaiweb import database_facts, formats, metrics
from installs import reach
from installs.models import Image, ImageImport, Notice
from installs.sweep import WATCHDOG
from machines.doorbell import CHANNEL
from machines.models import POWER_IS_STALE_AFTER, Beat, Machine, Site

OK, HOLD, BAD, PLAIN = "ok", "hold", "bad", ""
QUEUE_IS_LATE_AFTER = timedelta(seconds=30)
WORKER_IS_LOST_AFTER = timedelta(minutes=8)  # an idle worker of RQ says so about every 7 min (worker_ttl 420 s)
WATCHDOG_IS_LATE_AFTER = timedelta(seconds=30)
STUCK_AFTER = timedelta(seconds=60)
NOTICE_IS_LATE_AFTER = timedelta(minutes=15)
LOW_DISK_BYTES, LEAST_DISK_BYTES = 10 << 30, 1 << 30


@dataclass(frozen=True)
class Part:
    """One line: what it is, how it is, and what to do about it."""

    name: str
    value: Any
    level: str = PLAIN
    todo: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    parts: list[Part]

    @property
    def level(self) -> str:
        levels = {part.level for part in self.parts}
        return BAD if BAD in levels else HOLD if HOLD in levels else OK


def sections() -> list[Section]:
    """All of them, whatever is down: what cannot be asked says so."""
    made: tuple[tuple[str, str, Callable[[], Iterator[Part]]], ...] = (
        ("work", _("Work"), _work), ("clockwork", _("What must not stand still"), _clockwork),
        ("valkey", _("Valkey"), _valkey), ("database", _("Database"), _database), ("disk", _("Data folder"), _disk),
        ("urls", _("Where machines reach Dodai"), _urls), ("versions", _("Versions"), _versions),
    )  # fmt: skip
    return [Section(key, title, list(parts())) for key, title, parts in made]


def _work() -> Iterator[Part]:
    try:
        with metrics.valkey() as client:
            yield from _queues(client)
            yield from _workers(client)
    except redis.RedisError:
        todo = _("Valkey does not answer, see below. The watchdog does the work itself meanwhile, one step at a time.")
        yield Part(_("Queue"), _("cannot be asked"), BAD, todo)
    yield from _imports()
    yield from _notices()


def _queues(client: Any) -> Iterator[Part]:
    for name in settings.RQ_QUEUES:
        queue = rq.Queue(name, connection=client, serializer=django_rq.get_queue(name).serializer)
        oldest = metrics.oldest(queue)
        is_late = oldest is not None and now() - oldest > QUEUE_IS_LATE_AFTER
        todo = _("Start more workers: `python3 manage.py worker`, or `up --workers N`.") if is_late else ""
        yield Part(_("Queue %(name)s") % {"name": name}, _("%(n)s waiting") % {"n": queue.count},
                   HOLD if is_late else OK, todo, since=oldest)  # fmt: skip
        failed = queue.failed_job_registry.count
        todo = _("Jobs are doorbells: the watchdog rings again. The log of the worker says why they failed.")
        yield Part(_("Failed jobs"), failed, HOLD if failed else OK, todo if failed else "")


def _workers(client: Any) -> Iterator[Part]:
    workers = [worker for worker in Worker.all(connection=client) if _is_there(worker)]
    if not workers:
        todo = _("Start one: `python3 manage.py worker`; `up` starts them by itself.")
        yield Part(_("Workers"), _("none"), BAD, todo)
    for worker in sorted(workers, key=lambda worker: worker.name):
        name = _("Worker %(where)s") % {"where": f"{worker.hostname}:{worker.pid}"}
        yield Part(name, _("busy") if worker.get_state() == "busy" else _("idle"), OK, since=_aware(worker.birth_date))


def _is_there(worker: BaseWorker) -> bool:
    heard = _aware(worker.last_heartbeat)
    return heard is not None and now() - heard < WORKER_IS_LOST_AFTER


def _imports() -> Iterator[Part]:
    live = ImageImport.objects.filter(ended_at=None).aggregate(n=Count("pk"), oldest=Min("created_at"))
    yield Part(_("Image imports"), _("%(n)s under way or waiting") % {"n": live["n"]}, OK, since=live["oldest"])


def _notices() -> Iterator[Part]:
    waiting = Notice.objects.filter(ended_at=None).aggregate(n=Count("pk"), oldest=Min("created_at"))
    late = waiting["oldest"] is not None and now() - waiting["oldest"] > NOTICE_IS_LATE_AFTER
    todo = _("Look at Notices: the page names what the receiver answers.") if late else ""
    yield Part(_("Notices"), _("%(n)s waiting") % {"n": waiting["n"]}, HOLD if late else OK, todo, waiting["oldest"])


def _clockwork() -> Iterator[Part]:
    beats = {beat.name: beat.at for beat in Beat.objects.all()}
    seen = beats.pop(WATCHDOG, None)
    is_late = seen is None or now() - seen > WATCHDOG_IS_LATE_AFTER
    todo = _("No deadline is kept until it runs again: start `python3 manage.py watchdog`, or `up` anew.")
    yield Part(_("Watchdog"), _("last seen") if seen else _("never seen"), BAD if is_late else OK,
               todo if is_late else "", since=seen)  # fmt: skip
    yield _overdue()
    for name, at in sorted(beats.items()):
        yield Part(name, _("last seen"), PLAIN, since=at)
    yield from _readings()


def _overdue() -> Part:
    """Seconds are usual: the watchdog looks every second. More is what may never be."""
    number, longest = metrics.past_deadline()
    is_stuck = longest > STUCK_AFTER
    words = _("%(n)s, the longest by %(time)s") % {"n": number, "time": formats.duration(longest)} if number else "0"
    todo = _("The watchdog ends them: see above whether it runs. If it does, its log says what holds it up.")
    return Part(_("Installs past their deadline"), words, BAD if is_stuck else OK, todo if is_stuck else "")


def _readings() -> Iterator[Part]:
    """How old what is shown of machines' power may be."""
    unread = Q(power_seen_at=None)
    found = Machine.objects.to_poll().order_by().aggregate(
        all=Count("pk"), oldest=Min("power_seen_at"), never=Count("pk", filter=unread),
        silent=Count("pk", filter=~Q(power_error="")),
    )  # fmt: skip
    if not found["all"]:
        yield Part(_("Oldest power reading"), _("no machine has a BMC that can be asked"))
        return
    late = found["oldest"] is not None and now() - found["oldest"] > POWER_IS_STALE_AFTER
    answering = found["all"] - found["silent"]
    todo = ""
    if late:
        todo = _("If many are old, `python3 manage.py poll_power` does not run; if few, their BMCs do not answer.")
    elif found["silent"]:
        todo = _("The page of a machine says why its BMC does not answer; Test BMC there says more.")
    words = _("%(answering)s of %(all)s BMCs answer, %(never)s were never read") % (found | {"answering": answering})
    yield Part(_("Oldest power reading"), words, HOLD if todo else OK, todo, since=found["oldest"])  # fmt: skip


def _valkey() -> Iterator[Part]:
    where = _("our own, on a unix socket") if settings.REDIS_URL.startswith("unix:") else _host_of(settings.REDIS_URL)
    try:
        with metrics.valkey() as client:
            told = client.info()
            ears = dict(client.pubsub_numsub(CHANNEL)).get(CHANNEL.encode(), 0)
    except redis.RedisError as exc:
        todo = _("Pages fall back to asking every 10 s, and nothing is lost. Start it, or look at the log of `up`.")
        yield Part(_("Server"), _("does not answer (%(why)s)") % {"why": type(exc).__name__}, BAD, todo)
        yield Part(_("Where"), where)
        return
    name = "Valkey" if told.get("valkey_version") else "Redis"
    yield Part(_("Server"), f"{name} {told.get('valkey_version') or told['redis_version']}", OK,
               since=now() - timedelta(seconds=told["uptime_in_seconds"]))  # fmt: skip
    yield Part(_("Where"), where)
    yield Part(_("Memory"), formats.size(told["used_memory"]))
    yield Part(_("Connections"), told["connected_clients"])
    yield Part(_("Web processes with open pages"), ears)


def _database() -> Iterator[Part]:
    kind, version, size = database_facts.of_it()
    yield Part(_("Kind"), f"{kind} {version}", OK)
    yield Part(_("Size"), formats.size(size))
    missing = database_facts.unapplied_migrations()
    todo = _("Run `python3 manage.py migrate`, or `up`, which does it.")
    if missing:
        words = _("%(n)s not applied: %(names)s") % {"n": len(missing), "names": ", ".join(missing[:5])}
        yield Part(_("Migrations"), words, BAD, todo)
    else:
        yield Part(_("Migrations"), _("all applied"), OK)


def _disk() -> Iterator[Part]:
    disk = shutil.disk_usage(settings.DATA)
    low = disk.free < LEAST_DISK_BYTES or disk.free * 20 < disk.total
    level = BAD if disk.free < LEAST_DISK_BYTES else HOLD if low or disk.free < LOW_DISK_BYTES else OK
    todo = _("Delete images that nobody uses, or move the folder to a larger disk (--data).")
    words = _("%(free)s free of %(total)s") % {"free": formats.size(disk.free), "total": formats.size(disk.total)}
    yield Part(_("Disk"), words, level, todo if level != OK else "")
    each = Image.objects.order_by().values("sha256").annotate(size=Min("size_bytes"))
    files = each.aggregate(n=Count("sha256"), sum=Sum("size"))
    yield Part(_("Images"), _("%(n)s files, %(size)s") % {"n": files["n"], "size": formats.size(files["sum"] or 0)})
    yield _lock()


def _lock() -> Part:
    """Whose the folder is. The kernel keeps the lock; the file only says whose it is."""
    try:
        holder = json.loads((settings.DATA / "run" / "lock").read_text()[:4096])
        words = _("held by process %(pid)s") % {"pid": int(holder["pid"])}
        return Part(_("Lock"), words, OK, since=_moment(holder.get("started_at")))
    except (OSError, ValueError, TypeError, KeyError):
        return Part(_("Lock"), _("nobody's: the processes were not started by `up`"))


def _urls() -> Iterator[Part]:
    in_use = {site.pk for site in reach.sites_in_use()}
    for site in Site.objects.order_by("is_practice", "name"):
        problems = reach.problems(site) if site.pk in in_use else []  # without real machines nobody is kept away
        level = BAD if any(problem.is_certain for problem in problems) else HOLD if problems else OK
        for number, (listener, url) in enumerate(reach.urls(site).items()):
            todo = "" if number else " ".join(problem.words for problem in problems)
            yield Part(f"{site.name} · {listener}", url, PLAIN if number else level, todo)


def _versions() -> Iterator[Part]:
    yield Part("Dodai", version())
    yield Part("Python", platform.python_version())
    yield Part("Django", django.get_version())
    yield Part("RQ", rq.__version__)
    yield Part(_("Time zone"), settings.TIME_ZONE)


@cache
def version() -> str:
    project = tomllib.loads((Path(settings.BASE_DIR) / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _host_of(url: str) -> str:
    """Without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}"


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _moment(text: object) -> datetime | None:
    with contextlib.suppress(ValueError, TypeError):
        return _aware(datetime.fromisoformat(str(text)))
    return None
