"""A file between its preview and its confirmation: sealed in the database, for its uploader only, for half an hour."""

import secrets
from datetime import timedelta

from django.utils.timezone import now
from django.utils.translation import gettext as _

from machines.inventory.problems import InventoryProblem, Problem
from machines.models import InventoryUpload

KEPT_FOR = timedelta(minutes=30)
MOST_KEPT = 5  # a person; an older one makes room


def keep(text: str, name: str, *, by: str) -> InventoryUpload:
    forget_old()
    mine = InventoryUpload.objects.filter(by=by).order_by("-created_at").values_list("pk", flat=True)
    InventoryUpload.objects.filter(pk__in=list(mine[MOST_KEPT - 1 :])).delete()
    kept = InventoryUpload(key=secrets.token_urlsafe(32), by=by, file_name=name[-255:])
    kept.set_text(text)
    kept.save()
    return kept


def find(key: str, *, by: str) -> InventoryUpload:
    """Raises InventoryProblem when it is gone or somebody else's."""
    forget_old()
    found = InventoryUpload.objects.filter(key=key.replace("\0", ""), by=by).first()
    if found is None:
        words = _("this file is kept for %(minutes)s minutes only, and is gone: choose it again")
        raise InventoryProblem(Problem(0, "", words % {"minutes": int(KEPT_FOR.total_seconds() // 60)}))
    return found


def forget_old() -> None:
    InventoryUpload.objects.filter(created_at__lt=now() - KEPT_FOR).delete()
