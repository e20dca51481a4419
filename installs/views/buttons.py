"""Pages and buttons of installs, images and plans."""

from collections.abc import Callable
from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from dodaiweb import asked
from dodaiweb.formats import UNKNOWN, duration
from installs import actions, checklist, plan
from installs.forecast import forecast
from installs.images.boot_match import match
from installs.methods import METHODS
from installs.models import Image, Install
from installs.network_words import network_words
from machines import hardware
from machines.models import Machine

seeing = permission_required("machines.view_machine", raise_exception=True)
installing = permission_required("machines.install_machine", raise_exception=True)
operating = permission_required("machines.operate_machine", raise_exception=True)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@seeing
def plan_page(request: HttpRequest, name: str) -> HttpResponse:
    known = Machine.objects.select_related("site__provision_vlan", "type", "bmc", "cluster__vlan")
    machine = get_object_or_404(known, name=name)
    if request.method == "POST":
        return _start(request, machine)
    return _show_plan(request, machine, _chosen_image(request.GET.get("image", "")))


@installing
def _start(request: HttpRequest, machine: Machine) -> HttpResponse:
    image = _chosen_image(request.POST.get("image", ""))
    if image is None:
        messages.error(request, _("Choose an image first."))
        return redirect("plan", machine.name)
    if plan.for_install(machine, image).needs_typed_name and request.POST.get("typed", "").strip() != machine.name:
        said = _("Type the name of the machine, %(name)s, to wipe what is on it.") % {"name": machine.name}
        messages.error(request, said)
        return _show_plan(request, machine, image, status=422)
    try:
        install = actions.start_install(
            machine, image, by=request.user.get_username(), approved=request.POST.get("approved", "")
        )
    except actions.Refused as exc:
        messages.error(request, str(exc))
        return _show_plan(request, machine, image, status=409)
    return redirect("install", install.pk)


def _show_plan(request: HttpRequest, machine: Machine, image: Image | None, *, status: int = 200) -> HttpResponse:
    images = list(Image.objects.filter(retired_at=None))
    if image is None and len(images) == 1:
        image = images[0]
    made = plan.for_install(machine, image) if image else None
    by_hand = image is not None and image.method in METHODS and METHODS[image.method].by_operator
    values = {
        "machine": machine, "images": images, "image": image, "plan": made, "methods": METHODS,
        "contents": hardware.disk_contents(made.disk) if made and made.disk else "",
        "power": hardware.power_words(machine),
        "last": Install.objects.real_installs().filter(machine=machine).select_related("image").first(),
        "forecast": forecast(machine, image) if image else None,
        "network": network_words(machine),
        "boot_match": match(image, machine) if image and not by_hand else None,
        "by_hand": by_hand, "minutes": _minutes,
        "checklist": checklist.html(str(image.metadata.get("checklist", ""))) if image and by_hand else "",
    }  # fmt: skip
    return render(request, "installs/plan.html", values, status=status)


def _minutes(number: object) -> str:
    return duration(timedelta(minutes=number)) if isinstance(number, int) else UNKNOWN


@require_POST
@operating
def inspect(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    return _attempt(request, machine, lambda: actions.start_inspection(machine, by=request.user.get_username()))


@require_POST
def retry(request: HttpRequest, number: int) -> HttpResponse:
    ended = get_object_or_404(Install.objects.select_related("machine", "image"), pk=number)
    needed = "machines.operate_machine" if ended.is_inspection else "machines.install_machine"
    if not request.user.has_perm(needed):
        raise PermissionDenied
    if ended.image and plan.for_install(ended.machine, ended.image).needs_typed_name:
        because = plan.for_install(ended.machine, ended.image).typed_because
        messages.info(request, because + " " + _("Look at the plan and type its name to wipe it."))
        return redirect(reverse("plan", args=[ended.machine.name]) + f"?image={ended.image_id}")
    return _attempt(request, ended.machine, lambda: actions.retry(ended, by=request.user.get_username()))


@require_POST
@operating
def cancel(request: HttpRequest, number: int) -> HttpResponse:
    live = get_object_or_404(Install.objects.select_related("machine"), pk=number)
    try:
        actions.cancel(live, by=request.user.get_username())
        messages.success(request, _("Cancelled: it ends once the machine can do no more harm."))
    except actions.Refused as exc:
        messages.error(request, str(exc))
    return redirect("install", live.pk)


def _attempt(request: HttpRequest, machine: Machine, start: Callable[[], Install]) -> HttpResponse:
    try:
        return redirect("install", start().pk)
    except actions.Refused as exc:
        messages.error(request, str(exc))
        return redirect("machine", machine.name)


def _chosen_image(number: str) -> Image | None:
    return Image.objects.filter(pk=asked.number(number), retired_at=None).first()
