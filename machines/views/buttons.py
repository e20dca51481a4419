"""Pages and buttons of machines that need to know nothing of installs."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from dodaiweb import asked
from machines import actions, bmc_test
from machines.models import Disk, Machine

POWER_DONE = {
    "on": gettext_lazy("%(name)s is being switched on."), "off": gettext_lazy("%(name)s is being switched off."),
    "soft": gettext_lazy("%(name)s was asked to shut down."), "reset": gettext_lazy("%(name)s is being reset."),
    "status": gettext_lazy("%(name)s is being asked for its power."),
}  # fmt: skip


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def power(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    action = request.POST.get("action", "")
    try:
        actions.request_power(machine, action, by=request.user.get_username())
        messages.success(request, POWER_DONE[action] % {"name": machine.name})
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
    disk = get_object_or_404(Disk, pk=asked.number(request.POST.get("disk", "")), machine=machine)
    try:
        actions.choose_root_disk(disk)
        said = _("%(disk)s is now the root disk of %(name)s: installs go there.")
        messages.success(request, said % {"disk": disk, "name": machine.name})
    except actions.Refused as exc:
        messages.error(request, str(exc))
    return redirect("machine", machine.name)
