"""How many machines somebody may install at once and in an hour, by the groups they are in.

A wave lifts both caps, by an approval of its own. Inspections write nothing and are not counted.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from installs.models import Install, InstallCap

HOUR = timedelta(hours=1)


class OverCap(Exception):
    """More than this person may install. The message says the cap, what was used, when the next is free."""


@dataclass(frozen=True)
class Cap:
    per_request: int
    per_hour: int


def cap_of(by: str) -> Cap:
    """The largest of their groups' caps. Names that no user has are of the command line, capped as superusers are."""
    user = get_user_model().objects.filter(username=by).first()
    mine = Q(group=None) if user is None else Q(group__in=user.groups.all())
    if user is not None and user.is_superuser:
        mine |= Q(group=None)
    rows = list(InstallCap.objects.filter(mine))
    if not rows:
        return Cap(settings.MANY_INSTALLS, settings.HOUR_INSTALLS)
    return Cap(max(row.per_request for row in rows), max(row.per_hour for row in rows))


def check_request(by: str, count: int) -> None:
    """Raises OverCap when `count` machines in one request are too many, or too many for what is left of the hour."""
    cap = cap_of(by)
    if count > cap.per_request:
        words = ngettext(
            "At most %(limit)s machine is installed by one click, these are %(count)s: choose fewer.",
            "At most %(limit)s machines are installed by one click, these are %(count)s: choose fewer.",
            cap.per_request,
        ) % {"limit": cap.per_request, "count": count}
        raise OverCap(f"{words} {_lifted()}")
    _check_hour(by, count, cap)


def take_one(by: str) -> None:
    """Within the transaction that begins an install: of two at once the second counts the first. Raises OverCap."""
    _wait_for_turn(by)
    cap = cap_of(by)
    if cap.per_request < 1:
        raise OverCap(f"{_('Your groups may install no machine by themselves.')} {_lifted()}")
    _check_hour(by, 1, cap)


def _check_hour(by: str, count: int, cap: Cap) -> None:
    counted = Install.objects.real_installs().filter(requested_by=by, wave_machine=None, queued_at__gt=now() - HOUR)
    used = counted.count()
    if used + count <= cap.per_hour:
        return
    words = ngettext(
        "%(who)s may begin %(limit)s install an hour: %(used)s were begun in the last one, this is %(count)s more.",
        "%(who)s may begin %(limit)s installs an hour: %(used)s were begun in the last one, this is %(count)s more.",
        cap.per_hour,
    ) % {"limit": cap.per_hour, "who": by, "used": used, "count": count}
    if count <= cap.per_hour:
        begun = counted.order_by("queued_at").values_list("queued_at", flat=True)
        free_at = localtime(begun[used + count - cap.per_hour - 1] + HOUR)
        free = _("There is room again at %(time)s.") % {"time": f"{free_at:%H:%M:%S}"}
        words = f"{words} {free}"
    raise OverCap(f"{words} {_lifted()}")


def _lifted() -> str:
    return _("A wave may install more: it has an approval of its own.")


def _wait_for_turn(by: str) -> None:
    """Starts of one person count one after the other. On SQLite all writing transactions do so anyway."""
    users = get_user_model().objects.select_for_update(no_key=True).filter(username=by)
    if not list(users.values_list("pk")):
        list(InstallCap.objects.select_for_update(no_key=True).filter(group=None).values_list("pk"))
