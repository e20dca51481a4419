"""Pages of notices, for admins: who is told what, and how it went."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from dodaiweb import deeds
from dodaiweb.deeds import Deed
from installs.models import Notice, NoticeQuerySet, NoticeTarget
from installs.notices import outbox
from installs.notices.forms import NoticeTargetForm

LOG_SHOWN = 40

choosing = permission_required("installs.change_noticetarget", raise_exception=True)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@choosing
def targets(request: HttpRequest) -> HttpResponse:
    form = NoticeTargetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            target = form.save()
            deeds.note(request.user, Deed.ADDED, target)
        messages.success(request, _("%(name)s is told from now on: send it a test notice.") % {"name": target.name})
        return redirect("notices")
    last = _last_of_each()
    known = NoticeTarget.objects.select_related("cluster")
    return render(request, "notices/list.html", {
        "targets": [(target, short_address(target), last.get(target.pk)) for target in known],
        "log": _log(Notice.objects.all()),
        "form": form,
        "has_mail_server": bool(settings.EMAIL_HOST),
    }, status=422 if form.errors else 200)  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@choosing
def target(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(NoticeTarget, pk=number)
    form = NoticeTargetForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            saved = form.save()
            deeds.note(request.user, Deed.CHANGED, saved)
        messages.success(request, _("%(name)s is saved.") % {"name": saved.name})
        return redirect("notice", number)
    fresh = NoticeTarget.objects.get(pk=number)  # the form has written into the other one, even where it is not valid
    return render(request, "notices/target.html", {
        "target": fresh,
        "form": form,
        "log": _log(fresh.notices.all()),
        "has_mail_server": bool(settings.EMAIL_HOST),
    }, status=422 if form.errors else 200)  # fmt: skip


@require_POST
@choosing
def test(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(NoticeTarget, pk=number)
    if found.is_enabled:
        with transaction.atomic():
            outbox.send_test(found, by=request.user.get_username())
            deeds.note(request.user, Deed.TESTED, found)
        messages.success(
            request, _("A test notice to %(name)s is on its way; its result appears below.") % {"name": found}
        )
    else:
        messages.error(request, _("%(name)s is switched off: enable it first.") % {"name": found})
    return redirect("notice", number)


@require_POST
@choosing
def remove(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(NoticeTarget, pk=number)
    with transaction.atomic():
        deeds.note(request.user, Deed.REMOVED, found)
        found.delete()
    messages.success(request, _("%(name)s is told nothing any more.") % {"name": found.name})
    return redirect("notices")


def short_address(target: NoticeTarget) -> str:
    """Without the path of a URL: it is often a secret of the receiver's."""
    if target.kind == NoticeTarget.Kind.MAIL:
        return target.address
    parts = urlsplit(target.address)
    return f"{parts.scheme}://{parts.netloc}/…" if parts.path.strip("/") or parts.query else target.address


def _last_of_each() -> dict[int, Notice]:
    """The newest notice by target. Two queries."""
    newest = Notice.objects.order_by().values("target").annotate(newest=Max("pk")).values("newest")
    return {notice.target_id: notice for notice in Notice.objects.filter(pk__in=newest).prefetch_related("tries")}


def _log(chosen: NoticeQuerySet) -> list[Notice]:
    return list(chosen.select_related("target", "install__machine").prefetch_related("tries")[:LOG_SHOWN])
