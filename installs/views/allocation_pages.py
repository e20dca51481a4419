"""Pages of allocations: all of them, a new one with its plan, and one as it goes."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from installs import digests
from installs.allocation import asking, preview, words
from installs.allocation.forms import AskForm
from installs.models import Allocation, Image
from machines.models import Cluster, MachineType

ALLOCATIONS_A_PAGE = 30
CHOSEN = ("type", "image", "cluster")

seeing = permission_required("machines.view_machine", raise_exception=True)
installing = permission_required("machines.install_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def allocations(request: HttpRequest) -> HttpResponse:
    known = Allocation.objects.select_related("type", "image", "cluster")
    page = Paginator(known, ALLOCATIONS_A_PAGE).get_page(request.GET.get("page"))
    found = words.progress_of(page.object_list, now=now())
    return render(request, "allocations/list.html", {
        "page": page, "lines": [(progress, words.headline(progress)) for progress in found],
        "may_install": request.user.has_perm("machines.install_machine"),
    })  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@installing
def allocation_new(request: HttpRequest) -> HttpResponse:
    """The form, filled by the address, and below it what it would come to. A POST asks for exactly that."""
    if request.method != "POST":
        is_whole = all(request.GET.get(name) for name in CHOSEN)
        return _show_plan(request, AskForm(request.GET if is_whole else None, initial=request.GET.dict()))
    form = AskForm(request.POST)
    if not form.is_valid():
        return _show_plan(request, form, status=422)
    try:
        by = request.user.get_username()
        made = asking.ask(form.asked, by=by, approved=request.POST.get("approved", ""))
    except asking.Refused as exc:
        return _show_plan(request, form, problem=str(exc), status=409)
    return redirect("allocation", made.pk)


def _show_plan(request: HttpRequest, form: AskForm, *, problem: str = "", status: int = 200) -> HttpResponse:
    values: dict[str, Any] = {"form": form, "problem": problem, "proposal": None, "address": "", "choices": _choices()}
    if form.is_bound and form.is_valid():
        proposal = asking.propose(form.asked)
        values |= {
            "address": "?" + urlencode(_given(form)), "wanted_digest": digests.digest(_given(form))[:12],
            "proposal": proposal, "asked": form.asked, "lines": preview.lines(proposal),
            "refused": words.refused(proposal.placement), "question": words.question(proposal.placement),
        }  # fmt: skip
    return render(request, "allocations/new.html", values, status=status)


def _given(form: AskForm) -> dict[str, str]:
    """What was asked for as an address has it, so that a plan that was refused can be loaded again."""
    return {name: form.data[name] for name in form.fields if form.data.get(name)}


def _choices() -> dict[str, bool]:
    """What has to be there before anything can be asked for."""
    return {
        "types": MachineType.objects.exists(), "images": Image.objects.filter(retired_at=None).exists(),
        "clusters": Cluster.objects.exists(),
    }  # fmt: skip


@require_safe
@never_cache
@seeing
def allocation(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Allocation.objects.select_related("type", "image", "cluster__vlan"), pk=number)
    (progress,) = words.progress_of([found], now=now())
    return render(request, "allocations/detail.html", {
        "allocation": found, "progress": progress, "headline": words.headline(progress),
        "ending": words.ending(found), "why_of": words.why_of,
        "may_install": request.user.has_perm("machines.install_machine"),
    })  # fmt: skip


@require_POST
@installing
def allocation_cancel(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Allocation, pk=number)
    try:
        asking.cancel(found, by=request.user.get_username())
        messages.success(request, _("Cancelled: what is under way is ended, what is in reserve is given back."))
    except asking.Refused as exc:
        messages.error(request, str(exc))
    return redirect("allocation", number)
