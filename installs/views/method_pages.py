"""The page of the ways to install, and how often each works."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import success
from installs.methods import METHODS
from installs.models import Image, Install

SPANS = (("30", gettext_lazy("30 days")), ("365", gettext_lazy("a year")), ("all", gettext_lazy("all")))
USUAL_SPAN = "365"

seeing = permission_required("machines.view_machine", raise_exception=True)


@dataclass(frozen=True)
class Line:
    slug: str
    label: str
    images: int
    fallback_of: int
    success: success.OfMethod | None


@require_safe
@never_cache
@seeing
def methods(request: HttpRequest) -> HttpResponse:
    asked = request.GET.get("days", "")
    chosen = asked if asked in dict(SPANS) else USUAL_SPAN
    installs = Install.objects.all()
    if chosen != "all":
        installs = installs.filter(queued_at__gt=now() - timedelta(days=int(chosen)))
    found = success.rates(installs)
    return render(request, "installs/methods.html", {
        "lines": _lines({each.slug: each for each in found}), "success": found, "spans": SPANS, "chosen": chosen,
    })  # fmt: skip


def _lines(found: dict[str, success.OfMethod]) -> list[Line]:
    """Every method that installs images; inspection is none of them."""
    rows = list(Image.objects.present().filter(retired_at=None).values_list("method", "fallbacks"))
    images = Counter(method for method, _fallbacks in rows)
    next_ones = Counter(each["method"] for _method, fallbacks in rows for each in fallbacks)
    return [
        Line(method.slug, _(method.label), images[method.slug], next_ones[method.slug], found.get(method.slug))
        for method in METHODS.values()
        if method.kinds
    ]
