"""The page Activity."""

from datetime import datetime, time, timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.timezone import get_current_timezone, is_aware
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dodaiweb import activity
from dodaiweb.asked import day, is_usual

SEE_LOGINS = "auth.view_user"  # who may see users may see who tried to be one


@require_safe
@never_cache
@permission_required("machines.view_machine", raise_exception=True)
def show(request: HttpRequest) -> HttpResponse:
    with_logins = request.user.has_perm(SEE_LOGINS)
    asked = {name: request.GET.get(name, "").replace("\0", "").strip()[:150] for name in ("who", "kind", "machine")}
    kinds = {key: label for key, label in activity.KINDS.items() if key != "logins" or with_logins}
    asked["kind"] = asked["kind"] if asked["kind"] in kinds else ""
    since, until = (_midnight(request.GET.get(name, "")) for name in ("since", "until"))
    before = _moment(request.GET.get("before", ""))
    question = activity.Question(
        **asked, since=since, until=until + timedelta(days=1) if until else None, before=before, with_logins=with_logins
    )
    return render(request, "activity.html", {
        "found": activity.page(question),
        "asked": asked | {"since": _iso(since), "until": _iso(until)},
        "is_any": bool(any(asked.values()) or since or until),
        "is_first": before is None,
        "kinds": kinds,
        "people": list(get_user_model().objects.order_by("username").values_list("username", flat=True)),
    })  # fmt: skip


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text.replace(" ", "+"))  # a plus that somebody did not encode
    except ValueError:
        return None
    return found if found and is_aware(found) and is_usual(found) else None


def _midnight(text: str) -> datetime | None:
    found = day(text)
    return datetime.combine(found, time(), tzinfo=get_current_timezone()) if found else None


def _iso(moment: datetime | None) -> str:
    return moment.date().isoformat() if moment else ""
