"""A check-up that somebody asked for: a row that a worker takes, and what it found."""

from dataclasses import asdict
from datetime import timedelta

from django.db import IntegrityError, close_old_connections, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dodaiweb import doctor
from dodaiweb.doctor.checks import CHECKS
from machines import doorbell
from machines.models import Checkup

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
    lease = now() + LEASE
    due = Checkup.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now()), ended_at=None)
    if not due.update(lease_until=lease):
        return
    findings = [asdict(finding) for finding in doctor.run(CHECKS)]
    Checkup.objects.filter(lease_until=lease, ended_at=None).update(findings=findings, ended_at=now())
    old = Checkup.objects.exclude(ended_at=None).exclude(findings=[]).values_list("pk", flat=True)[KEPT:]
    Checkup.objects.filter(pk__in=list(old)).update(findings=[])  # who asked, and when, stays for Activity
    doorbell.tell_pages()


def ring_for_due() -> None:
    """Have a worker take a check-up that nobody has taken."""
    free = Q(lease_until=None) | Q(lease_until__lt=now())
    if Checkup.objects.filter(free, ended_at=None).exists():
        doorbell.ring(JOB)
