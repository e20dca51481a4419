"""Pages and buttons of machines that need to know nothing of installs."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from machines import actions, bmc_test
from machines.models import Disk, Machine, Sighting

SIGHTINGS_A_PAGE = 50
POWER_DONE = {
    "on": "is being switched on", "off": "is being switched off", "soft": "was asked to shut down",
    "reset": "is being reset", "status": "is being asked for its power",
}  # fmt: skip


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def power(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    action = request.POST.get("action", "")
    try:
        actions.request_power(machine, action, by=request.user.get_username())
        messages.success(request, f"{machine.name} {POWER_DONE[action]}.")
    except actions.Refused as exc:
        messages.error(request, str(exc))
    return redirect("machine", machine.name)


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def test_bmc(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    accepts = request.POST.get("certificate") == "accept"
    if accepts and not request.user.has_perm("machines.change_bmc"):
        raise PermissionDenied
    try:
        bmc_test.request_test(machine, by=request.user.get_username(), accept_certificate=accepts)
        messages.success(request, _("The BMC of %(name)s is being tested.") % {"name": machine.name})
    except actions.Refused as exc:
        messages.error(request, str(exc))
    return redirect("machine", machine.name)


@require_POST
@permission_required("machines.install_machine", raise_exception=True)
def root_disk(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    number = request.POST.get("disk", "")
    disk = get_object_or_404(Disk, pk=int(number) if number.isdecimal() else 0, machine=machine)
    try:
        actions.choose_root_disk(disk)
        messages.success(request, f"{disk} is now the root disk of {machine.name}: installs go there.")
    except actions.Refused as exc:
        messages.error(request, str(exc))
    return redirect("machine", machine.name)


@require_safe
@never_cache
@permission_required("machines.view_sighting", raise_exception=True)
def sightings(request: HttpRequest) -> HttpResponse:
    page = Paginator(Sighting.objects.all(), SIGHTINGS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "machines/sightings.html", {"page": page})
