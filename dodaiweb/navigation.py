"""What stands around every page: which layout, where we are, and the counters of the menu."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils.timezone import now

from dodaiweb.menu import menu_for, section_of
from installs import reach
from installs.models import Install
from installs.overview import failed_installs
from installs.sweep import WATCHDOG
from machines.lifecycle import State
from machines.models import Beat, Machine

FRAGMENT_HEADER = "Dodai-Fragment"
WATCHDOG_IS_LATE_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class Navigation:
    machines: int
    running: int
    failed: int
    tasks: int
    """Installs that wait for a person."""
    watchdog_lost_at: datetime | None
    """When the watchdog was last seen, if that is too long ago; None while all is well or it never ran."""
    unreachable: str = ""
    """Why real machines cannot reach Dodai; "" while they can, or nobody has looked."""


def context(request: HttpRequest) -> dict[str, Any]:
    """A context processor of the pages. `navigation` is None for who may not see machines."""
    match = getattr(request, "resolver_match", None)
    name = (match.url_name if match else "") or ""
    user = getattr(request, "user", None) or AnonymousUser()
    may_see = user.is_authenticated and user.has_perm("machines.view_machine")
    return {
        "layout": "fragment.html" if request.headers.get(FRAGMENT_HEADER) else "base.html",
        "section": section_of(name),
        "menu": menu_for(user),
        "navigation": _navigation() if may_see else None,
    }


def _navigation() -> Navigation:
    unreachable = (problem.words for site in reach.sites_in_use() for problem in reach.problems(site))
    live = Install.objects.live().order_by().aggregate(all=Count("pk"), tasks=Count("pk", filter=~Q(operator_task="")))
    beat = Beat.objects.filter(pk=WATCHDOG).values_list("at", flat=True).first()
    return Navigation(
        machines=Machine.objects.exclude(state=State.RETIRED).count(),
        running=live["all"],
        tasks=live["tasks"],
        failed=failed_installs().count(),
        watchdog_lost_at=beat if beat and beat < now() - WATCHDOG_IS_LATE_AFTER else None,
        unreachable=next(unreachable, ""),
    )
