"""A check-up that somebody asked for: a row that a worker takes, and what it found."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import DatabaseError, IntegrityError, close_old_connections, connection, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dodaiweb import doctor
from dodaiweb.doctor.checks import CHECKS
from machines import doorbell
from machines.models import Checkup

logger = logging.getLogger(__name__)

JOB = "dodaiweb.checkups.run_due"
LEASE = timedelta(seconds=60)
KEPT = 20


class Refused(Exception):
    """It cannot be done now. The message says why."""


def request(*, by: str) -> Checkup:
    """Ask for a check-up; a worker does it within seconds. Raises Refused while one is under way."""
    try:
        with transaction.atomic():
            checkup = Checkup.objects.create(asked_by=by)
    except IntegrityError as exc:
        raise Refused(_("A check-up is already under way.")) from exc
    doorbell.ring(JOB)
    return checkup


def run_due() -> None:
    """Do the check-up that is due, if one is."""
    close_old_connections()
    lease = _Lease.taken()
    if lease is None:
        return
    with lease.kept():
        findings = [asdict(finding) for finding in doctor.run(CHECKS)]
    Checkup.objects.filter(lease_until=lease.until, ended_at=None).update(findings=findings, ended_at=now())
    old = Checkup.objects.exclude(ended_at=None).exclude(findings=[]).values_list("pk", flat=True)[KEPT:]
    Checkup.objects.filter(pk__in=list(old)).update(findings=[])  # who asked, and when, stays for Activity
    doorbell.tell_pages()


class _Lease:
    """Of the check-up that this process does. Its end tells it from that of any other process."""

    def __init__(self, until: datetime) -> None:
        self.until = until

    @classmethod
    def taken(cls) -> "_Lease | None":
        until = now() + LEASE
        due = Checkup.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now()), ended_at=None)
        return cls(until) if due.update(lease_until=until) else None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renewed by a thread until the block ends: a slow check-up is not started again by another process."""
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(done,), daemon=True, name="check-up's lease")
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(LEASE.total_seconds() / 3):
            try:
                self._renew()
            except DatabaseError:  # it may work the next time
                logger.exception("the lease of a check-up could not be renewed")
        connection.close()  # this thread's own

    def _renew(self) -> None:
        until = now() + LEASE
        if Checkup.objects.filter(lease_until=self.until, ended_at=None).update(lease_until=until):
            self.until = until


def ring_for_due() -> None:
    """Have a worker take a check-up that nobody has taken."""
    free = Q(lease_until=None) | Q(lease_until__lt=now())
    if Checkup.objects.filter(free, ended_at=None).exists():
        doorbell.ring(JOB)
