"""What is kept for a while and then taken away: logins, ended sessions, files nobody confirmed, moves of ports."""

from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.timezone import now

from machines.inventory import uploads
from machines.lifecycle import State
from machines.models import Interface, PortMove

AT_ONCE = 500  # rows of a table: a watchdog has more to do, and comes again in half a minute
GOING_BACK = (State.RELEASING, State.ERASING, State.BROKEN)


def forget_old() -> int:
    """Take away a part of what is too old; how many rows. It may be called again at once."""
    before = now() - timedelta(days=settings.LOGINS_KEPT_DAYS)
    logins = [model.objects.filter(attempt_time__lt=before) for model in (AccessLog, AccessAttempt, AccessFailureLog)]
    uploads.forget_old()
    others = [Session.objects.filter(expire_date__lt=now()), _old_moves(before)]
    return sum(_delete_some(rows) for rows in [*logins, *others])


def _old_moves(before: datetime) -> QuerySet[PortMove]:
    """Without the last of each port that ended so: where it was read last, and where a person said that it is.

    Ports of machines that are worked on or being taken back may have to go where they were.
    """
    same = {name: OuterRef(name) for name in ("switch", "port", "state")}
    newer = Exists(PortMove.objects.filter(**same, pk__gt=OuterRef("pk")))
    held = Interface.objects.exclude(machine__handled_by="") | Interface.objects.filter(machine__state__in=GOING_BACK)
    return PortMove.objects.filter(newer, ended_at__lt=before).exclude(interface__in=held)


def _delete_some(rows: QuerySet[Any]) -> int:
    numbers = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    _total, by_model = rows.model.objects.filter(pk__in=numbers).delete()
    return int(by_model.get(rows.model._meta.label, 0))
