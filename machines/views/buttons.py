"""Pages and buttons of machines that need to know nothing of installs."""

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from dodaiweb import asked
from machines import actions, bmc_test, cabling
from machines.models import Disk, Machine, PortMove
from machines.views.pressing import press

POWER_DONE = {
    "on": gettext_lazy("%(name)s is being switched on."), "off": gettext_lazy("%(name)s is being switched off."),
    "soft": gettext_lazy("%(name)s was asked to shut down."), "reset": gettext_lazy("%(name)s is being reset."),
    "status": gettext_lazy("%(name)s is being asked for its power."),
}  # fmt: skip


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def power(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    action, by = request.POST.get("action", ""), request.user.get_username()
    said = str(POWER_DONE.get(action, "")) % {"name": machine.name}
    return press(request, machine, lambda: actions.request_power(machine, action, by=by), said)


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def test_bmc(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    accepts = request.POST.get("certificate") == "accept"
    if accepts and not request.user.has_perm("machines.change_bmc"):
        raise PermissionDenied
    by, said = request.user.get_username(), _("The BMC of %(name)s is being tested.") % {"name": machine.name}
    return press(
        request, machine, lambda: bmc_test.request_test(machine, by=by, accept_certificate=accepts), said
    )  # fmt: skip


@require_POST
@permission_required("machines.install_machine", raise_exception=True)
def root_disk(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    disk = get_object_or_404(Disk, pk=asked.number(request.POST.get("disk", "")), machine=machine)
    said = _("%(disk)s is now the root disk of %(name)s: installs go there.") % {"disk": disk, "name": machine.name}
    return press(request, machine, lambda: actions.choose_root_disk(disk), said)


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def port_move(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """An operator has moved a port by hand, or cannot."""
    machine = get_object_or_404(Machine, name=name)
    asked_for = get_object_or_404(PortMove.objects.select_related("switch"), pk=number, interface__machine=machine)
    by, words = request.user.get_username(), {"port": asked_for.port, "switch": asked_for.switch}
    if request.POST.get("done") == "yes":
        said = _("Thank you: port %(port)s of %(switch)s counts as moved.") % words
        return press(request, machine, lambda: cabling.confirm(number, by=by), said)
    why, said = request.POST.get("why", ""), _("Noted: port %(port)s of %(switch)s stays where it is.") % words
    return press(request, machine, lambda: cabling.cannot(number, why, by=by), said)
