"""Pages of waves: all of them, a new one, and one as it goes."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dodaiweb import asked
from installs import many
from installs.models import Image, Wave
from installs.waves import asking, words
from installs.waves.forms import WaveForm
from installs.waves.lifecycle import State
from machines.actions import Refused as TooMany
from machines.many import chosen

WAVES_A_PAGE = 30
LOOKS = {
    State.PROPOSED: "queued", State.RUNNING: "installing", State.PAUSED: "waiting", State.DONE: "installed",
    State.STOPPED: "failed", State.CANCELLED: "cancelled",
}  # fmt: skip

seeing = permission_required("machines.view_machine", raise_exception=True)
installing = permission_required("machines.install_machine", raise_exception=True)
approving = permission_required("installs.approve_wave", raise_exception=True)


@require_safe
@never_cache
@seeing
def waves(request: HttpRequest) -> HttpResponse:
    page = Paginator(Wave.objects.select_related("image"), WAVES_A_PAGE).get_page(request.GET.get("page"))
    found = [words.progress_of(wave, now=now()) for wave in page.object_list]
    lines = [(progress, words.waits_for(progress, now=now())) for progress in found]
    return render(request, "waves/list.html", {"page": page, "lines": lines, "looks": LOOKS})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@installing
def wave_new(request: HttpRequest) -> HttpResponse:
    """How the wave shall go, for the machines and the image that the plan for many names."""
    given = request.POST if request.method == "POST" else request.GET
    image = Image.objects.filter(pk=asked.number(given.get("image", "")), retired_at=None).first()
    problem, machines, form = "", [], WaveForm(request.POST or None)
    try:
        machines = chosen(given)
    except TooMany as exc:
        problem = str(exc)
    if request.method == "POST" and image and machines and form.is_valid():
        try:
            made = asking.propose(machines, image, form.rules, by=request.user.get_username())
        except asking.Refused as exc:
            problem = str(exc)
        else:
            return redirect("wave", made.pk)
    return render(request, "waves/new.html", {
        "machines": machines, "ids": ",".join(str(machine.pk) for machine in machines), "image": image, "form": form,
        "problem": problem,
    }, status=422 if problem or form.errors else 200)  # fmt: skip


@require_safe
@never_cache
@seeing
def wave(request: HttpRequest, number: int) -> HttpResponse:
    return _show(request, _wave(number))


@require_POST
@approving
def wave_approve(request: HttpRequest, number: int) -> HttpResponse:
    found = _wave(number)
    by = request.user.get_username()
    if not request.user.has_perm("machines.install_machine"):
        return _show(
            request, found, problem=_("Approving wipes disks: it needs the right to install, too."), status=403
        )
    if found.state == State.PROPOSED and (missing := asking.plans(found).confirmation.problem(request.POST)):
        return _show(request, found, problem=missing, status=422)
    try:
        asking.approve(found, approved=request.POST.get("approved", ""), by=by)
    except (asking.Refused, many.Refused) as exc:
        return _show(request, _wave(number), problem=str(exc), status=409)
    return redirect("wave", number)


@require_POST
@installing
def wave_pause(request: HttpRequest, number: int) -> HttpResponse:
    return _press(request, number, asking.pause)


@require_POST
@approving
def wave_resume(request: HttpRequest, number: int) -> HttpResponse:
    return _press(request, number, asking.resume)


@require_POST
@installing
def wave_cancel(request: HttpRequest, number: int) -> HttpResponse:
    return _press(request, number, asking.cancel)


def _wave(number: int) -> Wave:
    return get_object_or_404(Wave.objects.select_related("image"), pk=number)


def _press(request: HttpRequest, number: int, do: Callable[..., None]) -> HttpResponse:
    try:
        do(_wave(number), by=request.user.get_username())
    except asking.Refused as exc:
        messages.error(request, str(exc))
    return redirect("wave", number)


def _show(request: HttpRequest, found: Wave, *, problem: str = "", status: int = 200) -> HttpResponse:
    moment = now()
    progress = words.progress_of(found, now=moment)
    wants_approval = found.state == State.PROPOSED
    made = asking.plans(found) if wants_approval else None
    return render(request, "waves/wave.html", {
        "wave": found, "progress": progress, "plans": made, "problem": problem, "rules": words.rules(found),
        "plan_of": {line.machine.pk: line for line in made.lines} if made else {},
        "waits_for": words.waits_for(progress, now=moment), "part_words": words.part_words, "looks": LOOKS,
        "events": [(event, words.EVENTS.get(event.name, event.name)) for event in found.events.order_by("-pk")[:200]],
        "may_approve": request.user.has_perms(["installs.approve_wave", "machines.install_machine"]),
        "may_install": request.user.has_perm("machines.install_machine"),
    }, status=status)  # fmt: skip
