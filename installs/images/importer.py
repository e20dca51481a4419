"""Does imports of images, one after another, in a process of its own: no install waits for them.

A claim is a lease that is renewed every second. Whoever loses it, or finds the import cancelled, stops and stores
nothing; what a killed process left is done again by the next, from the bytes that are there.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import Q
from django.utils.timezone import now

from installs.images import debian, fetching, imports
from installs.images.intake import (
    copy,
    enter,
    image_path,
    incoming,
    named_digests,
    require_room,
    require_unused,
    store_lock,
)
from installs.images.kinds import ImageProblem
from installs.models import Image, ImageImport
from installs.ramdisk import RamdiskError
from machines import doorbell

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
BEAT_SECONDS = 1.0
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 900))
OLD_SECONDS = 3600

State, Source = ImageImport.State, ImageImport.Source


class Stopped(Exception):
    """The import is no longer this process's: cancelled, or taken over."""


class Again(Exception):
    """It did not work now; later it may."""


def turn(say: Callable[[str], None] = lambda text: None) -> bool:
    """Do one import that is due, if there is one."""
    imports.expire_uploads()
    claimed = _claim()
    if claimed is None:
        return False
    say(f"{claimed.name}: {claimed.get_source_display()} asked by {claimed.requested_by}")
    with _beating(claimed) as work:
        _do(work, say)
    return True


def tidy() -> None:
    """Remove what ended imports and killed processes have left."""
    live = {path.stem for path in map(imports.part_file, ImageImport.objects.filter(state__in=ImageImport.LIVE))}
    for path in incoming().glob("*"):
        # What `image add` copies has no row: while it is read through nothing is written to it for minutes.
        seconds = 60 if path.name.startswith("import-") else OLD_SECONDS
        if path.stem not in live and _is_old(path, seconds):
            path.unlink(missing_ok=True)
    with store_lock():
        named = named_digests()
        for path in image_path("").glob("[0-9a-f]" * 64):
            if path.name not in named and _is_old(path, OLD_SECONDS):
                path.unlink(missing_ok=True)


def _is_old(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


def _claim() -> ImageImport | None:
    moment = now()
    free = Q(lease_until=None) | Q(lease_until__lt=moment)
    come = Q(again_at=None) | Q(again_at__lte=moment)
    due = ImageImport.objects.filter(free, come, state__in=(State.WAITING, State.RUNNING)).order_by("pk")
    with transaction.atomic():
        skips = connection.features.has_select_for_update_skip_locked
        claimed = due.select_for_update(skip_locked=skips).first()
        if claimed is None:
            return None
        claimed.state, claimed.owner, claimed.lease_until = State.RUNNING, uuid.uuid4().hex, moment + LEASE
        claimed.started_at = claimed.started_at or moment
        claimed.tries += 1
        claimed.save(update_fields=["state", "owner", "lease_until", "started_at", "tries"])
    return claimed


class Work:
    """One claimed import: where progress is told, and where it is found out that it was taken away."""

    def __init__(self, claimed: ImageImport) -> None:
        self.row = claimed
        self.file = imports.part_file(claimed)
        self.lost = False
        self._at = ("", 0, 0)

    def told(self, phase: str, done: int, total: int) -> None:
        """From any thread. Raises Stopped."""
        self._at = (phase, done, total)
        if self.lost:
            raise Stopped

    def beat(self) -> None:
        phase, done, total = self._at
        if not self.store(phase=phase, done=done, total=total, progress_at=now(), lease_until=now() + LEASE):
            self.lost = True

    def finish(self, image: Image) -> None:
        """In the transaction that enters the image: both or none."""
        if not self.store(state=State.DONE, image=image, ended_at=now(), lease_until=None, error=""):
            raise Stopped

    def store(self, **columns: Any) -> bool:
        """Store in the row if it is still this process's."""
        mine = ImageImport.objects.filter(pk=self.row.pk, owner=self.row.owner, state=State.RUNNING)
        stored = bool(mine.update(**columns))
        doorbell.tell_pages()
        return stored


@contextmanager
def _beating(claimed: ImageImport) -> Iterator[Work]:
    work, stop = Work(claimed), threading.Event()

    def beat() -> None:
        try:
            while not stop.wait(BEAT_SECONDS):
                close_old_connections()
                try:
                    work.beat()
                except DatabaseError as problem:  # the next beat may come in time; if not, it finds the import lost
                    logger.warning("import %s: %s", claimed.pk, problem)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield work
    finally:
        stop.set()
        thread.join()


def _do(work: Work, say: Callable[[str], None]) -> None:
    """Carry out, and store how it ended."""
    row = work.row
    try:
        image = _carry_out(work, say)
    except Stopped:
        say(f"{row.name}: stopped")
        _remove_if_over(work)
    except Again as problem:
        _put_off(work, str(problem), say)
    except (ImageProblem, fetching.FetchProblem, RamdiskError, imports.Refused) as problem:
        _fail(work, str(problem), say)
    except Exception as problem:
        logger.exception("import %s of %s", row.pk, row.name)
        _fail(work, f"Dodai itself failed ({type(problem).__name__}); its log has more.", say)
    else:
        _remove(work.file)
        say(f"{row.name}: taken in, SHA-256 {image.sha256}")


def _carry_out(work: Work, say: Callable[[str], None]) -> Image:
    work.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    match work.row.source:
        case Source.DEBIAN:
            require_unused(work.row.name, besides_builds=True)
            return _build_debian(work, say)
        case Source.URL:
            require_unused(work.row.name)
            _fetch(work)
        case Source.PATH:
            require_unused(work.row.name)
            path = imports.allowed_file(work.row.place)
            require_room(path.stat().st_size)
            copy(path, work.file, work.told)
    return _entered(work)


def _fetch(work: Work) -> None:
    try:
        fetching.fetch(work.row.place, work.file, lambda done, total: _told_of_fetch(work, done, total))
    except fetching.FetchProblem as problem:
        if problem.again:
            raise Again(str(problem)) from problem
        raise


def _told_of_fetch(work: Work, done: int, total: int) -> None:
    if total and not done % (1 << 28):
        require_room(total - done)
    work.told("fetch", done, total)


def _build_debian(work: Work, say: Callable[[str], None]) -> Image:
    try:
        with debian.build(settings.DATA, say, work.told) as built:
            copy(built.path, work.file, work.told)
    except RamdiskError as problem:
        raise Again(str(problem)) from problem
    require_unused(work.row.name, besides_builds=True)
    return _entered(work, replaces=True, label="Debian 12")


def _entered(work: Work, *, replaces: bool = False, label: str = "") -> Image:
    row = work.row
    shown = fetching.without_query(row.place) if row.source == Source.URL else row.place
    return enter(
        work.file, name=row.name, label=label or shown.rpartition("/")[2] or row.name, sha256=row.sha256,
        told=work.told, replaces=replaces, then=work.finish, imported_by=row.requested_by, source=shown[:255],
        **row.fields,
    )  # fmt: skip


def _put_off(work: Work, message: str, say: Callable[[str], None]) -> None:
    row = work.row
    if row.tries > len(PAUSES):
        return _fail(work, message, say)
    pause = PAUSES[row.tries - 1]
    say(f"{row.name}: {message} Trying again in {pause.total_seconds():.0f} s.")
    work.store(state=State.WAITING, error=message[:1000], again_at=now() + pause, lease_until=None)


def _fail(work: Work, message: str, say: Callable[[str], None]) -> None:
    say(f"{work.row.name}: {message}")
    work.store(state=State.FAILED, error=message[:1000], ended_at=now(), lease_until=None)
    _remove_if_over(work)


def _remove_if_over(work: Work) -> None:
    """Whoever took the import over goes on with its file."""
    if not ImageImport.objects.filter(pk=work.row.pk, state__in=ImageImport.LIVE).exists():
        _remove(work.file)


def _remove(file: Path) -> None:
    for path in (file, file.with_suffix(".version")):
        path.unlink(missing_ok=True)
