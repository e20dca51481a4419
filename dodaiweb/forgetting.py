"""What is kept about people's visits, and taken away again: logins, ended sessions, files that nobody confirmed."""

from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils.timezone import now

from machines.inventory import uploads

AT_ONCE = 500  # rows of a table: a watchdog has more to do, and comes again in half a minute


def forget_old() -> int:
    """Take away a part of what is too old; how many rows. It may be called again at once."""
    before = now() - timedelta(days=settings.LOGINS_KEPT_DAYS)
    logins = [model.objects.filter(attempt_time__lt=before) for model in (AccessLog, AccessAttempt, AccessFailureLog)]
    uploads.forget_old()
    return sum(_delete_some(rows) for rows in [*logins, Session.objects.filter(expire_date__lt=now())])


def _delete_some(rows: QuerySet[Any]) -> int:
    numbers = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    _total, by_model = rows.model.objects.filter(pk__in=numbers).delete()
    return int(by_model.get(rows.model._meta.label, 0))
