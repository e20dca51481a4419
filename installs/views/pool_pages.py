"""The page of the pool: how many machines wait for owners, and how many ought to."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from installs.allocation import pool, pool_words
from installs.allocation.forms import LevelForm
from installs.models import PoolLevel

seeing = permission_required("machines.view_machine", raise_exception=True)
installing = permission_required("machines.install_machine", raise_exception=True)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@seeing
def pool_page(request: HttpRequest) -> HttpResponse:
    """The levels; a POST sets one, new or not."""
    if request.method != "POST":
        return _show(request, LevelForm())
    if not request.user.has_perm("machines.install_machine"):
        raise PermissionDenied
    form = LevelForm(request.POST)
    if not form.is_valid():
        return _show(request, form, status=422)
    given = form.cleaned_data
    try:
        pool.set_level(
            given["type"], given["image"], given["level"], at_once=given["at_once"], by=request.user.get_username()
        )
    except pool.Refused as exc:
        messages.error(request, str(exc))
    return redirect("pool")


@require_POST
@installing
def pool_remove(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(PoolLevel.objects.select_related("type", "image"), pk=number)
    pool.remove_level(found, by=request.user.get_username())
    words = _("No machine of %(type)s is kept warm with %(image)s any more. Those that are warm stay so.")
    messages.success(request, words % {"type": found.type, "image": found.image})
    return redirect("pool")


def _show(request: HttpRequest, form: LevelForm, *, status: int = 200) -> HttpResponse:
    levels = PoolLevel.objects.select_related("type", "image")
    return render(request, "pool/pool.html", {
        "lines": pool_words.lines(levels), "form": form, "counts": pool_words.counts,
        "why_not_full": pool_words.why_not_full, "may_install": request.user.has_perm("machines.install_machine"),
    }, status=status)  # fmt: skip
