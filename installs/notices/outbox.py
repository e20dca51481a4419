"""Tells others how installs ended, and that one waits for them: written with it, delivered by workers, at least once.

A worker claims the next due row (another owner, a lease), sends with no lock held, and stores the outcome only if the
claim is still its own. A worker that dies in between leaves a row whose lease runs out: it is sent again, under the
same id, by which receivers drop what they have.
"""

import logging
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils.timezone import now

from installs.models import Install, Notice, NoticeTarget, NoticeTry, Wave
from installs.notices import delivery as notice_delivery
from installs.notices.words import payload_of, payload_of_wave, test_payload
from machines import doorbell
from machines.models import Machine

logger = logging.getLogger(__name__)

JOB = "installs.jobs.notify"
LEASE = timedelta(seconds=90)  # more than a try may take, looking up the name included
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=4)
FORGOTTEN_AT_ONCE = 500
GIVEN_UP_AFTER = timedelta(hours=24)
SWITCHES = {
    Notice.Kind.FAILED: "on_failed", Notice.Kind.INSTALLED: "on_installed", Notice.Kind.CANCELLED: "on_cancelled",
    Notice.Kind.OPERATOR: "on_operator", Notice.Kind.WAVE_STOPPED: "on_failed",
}  # fmt: skip


def note_end(install: Install, kind: Notice.Kind) -> None:
    """Write a notice for each target that wants to know. Called in the transaction that ends the install.

    Never raises: a fault here must not keep an install from ending.
    """
    try:
        with transaction.atomic():
            _note(install, kind)
    except Exception:
        logger.exception("install %s: its end could not be noted for anybody", install.pk)


def note_task(install: Install) -> None:
    """Write that an install waits for a person, once an install. Called in the transaction in which it begins to wait.

    Never raises, as `note_end`.
    """
    try:
        with transaction.atomic():
            if not install.notices.filter(kind=Notice.Kind.OPERATOR).exists():
                _note(install, Notice.Kind.OPERATOR)
    except Exception:
        logger.exception("install %s: nobody could be told that it waits for them", install.pk)


def note_wave(wave: Wave, kind: Notice.Kind) -> None:
    """Write that a wave stopped, for those who are told of failures. Never raises, as `note_end`."""
    try:
        with transaction.atomic():
            clusters = Machine.objects.filter(waves__wave=wave, cluster__isnull=False).values("cluster")
            mine = Q(cluster=None) | Q(cluster__in=clusters)
            targets = list(NoticeTarget.objects.filter(mine, is_enabled=True, **{SWITCHES[kind]: True}))
            payload = payload_of_wave(wave, kind)
            Notice.objects.bulk_create(
                [Notice(target=target, wave=wave, kind=kind, payload=payload) for target in targets]
            )
            doorbell.ring(JOB)
    except Exception:
        logger.exception("wave %s: its end could not be noted for anybody", wave.pk)


def send_test(target: NoticeTarget, *, by: str) -> Notice:
    """Queue one notice that says it is a test. It is tried once, so that its result is plain."""
    with transaction.atomic():
        notice = Notice.objects.create(target=target, kind=Notice.Kind.TEST, payload=test_payload(by=by))
        doorbell.ring(JOB)
    return notice


def deliver_due() -> bool:
    """Send one due notice. False when nothing was due. Never raises for what the receiver did."""
    notice = _claim()
    if notice is None:
        return False
    began = now()
    try:
        result = notice_delivery.deliver(notice)
        is_good, may_retry = True, False
    except notice_delivery.NotDelivered as exc:
        result, is_good, may_retry = str(exc), False, exc.may_retry
    except Exception as exc:  # a fault of ours must not leave the row to be sent for ever
        logger.exception("notice %s", notice.uid)
        result = f"a fault in Dodai itself ({type(exc).__name__}): see the worker's log"
        is_good, may_retry = False, True
    attempt = NoticeTry(notice=notice, at=began, took=now() - began, is_good=is_good, result=result[:300])
    _store(notice, attempt, may_retry=may_retry)
    return True


def ring_for_due() -> None:
    """Have a worker look at notices whose time has come."""
    if Notice.objects.due().exists():
        doorbell.ring(JOB)


def forget_old() -> int:
    """Take away delivered notices that nobody looks at any more; how many. A part at a time: it may be called again."""
    before = now() - timedelta(days=settings.NOTICES_KEPT_DAYS)
    old = Notice.objects.filter(is_delivered=True, ended_at__lt=before).order_by("pk")[:FORGOTTEN_AT_ONCE]
    _total, by_model = Notice.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    return by_model.get(Notice._meta.label, 0)


def _note(install: Install, kind: Notice.Kind) -> None:
    if install.image_id is None and kind not in (Notice.Kind.FAILED, Notice.Kind.OPERATOR):
        return  # inspections and other operations come and go: only their failures are news
    mine = Q(cluster=None) | Q(cluster=install.machine.cluster_id)
    targets = list(NoticeTarget.objects.filter(mine, is_enabled=True, **{SWITCHES[kind]: True}))
    if targets:
        payload = payload_of(install, kind)
        Notice.objects.bulk_create(
            [Notice(target=target, install=install, kind=kind, payload=payload) for target in targets]
        )
        doorbell.ring(JOB)


def _claim() -> Notice | None:
    with transaction.atomic():
        locking = (
            Notice.objects.due()
            .select_related("target")
            .select_for_update(of=("self",), skip_locked=connection.features.has_select_for_update_skip_locked)
        )
        notice = locking.first()
        if notice is None:
            return None
        notice.owner, notice.lease_until = secrets.token_hex(16), now() + LEASE
        notice.save(update_fields=["owner", "lease_until"])
        return notice


def _store(notice: Notice, attempt: NoticeTry, *, may_retry: bool) -> None:
    count = notice.count + 1
    again_at = now() + min(FIRST_PAUSE * 2 ** min(notice.count, 10), LONGEST_PAUSE)
    is_over = attempt.is_good or not may_retry or again_at > notice.created_at + GIVEN_UP_AFTER
    if notice.kind == Notice.Kind.TEST:
        is_over = True
    with transaction.atomic():
        mine = Notice.objects.filter(pk=notice.pk, owner=notice.owner, ended_at=None)
        changed = mine.update(
            owner="", lease_until=None, count=count, again_at=again_at, is_delivered=attempt.is_good,
            ended_at=now() if is_over else None,
        )  # fmt: skip
        if not changed:
            return  # its lease ran out: another worker has it
        attempt.save()
        doorbell.tell_pages(install=notice.install_id)
        doorbell.ring(JOB)
    if not attempt.is_good:
        logger.warning("notice %s to %s, try %s: %s", notice.uid, notice.target, count, attempt.result)
