"""The page of switches and their ports."""

from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dodaiweb import asked
from machines import cabling, ports, reading_ports
from machines.actions import Refused
from machines.models import PortMove, Switch
from machines.ports import Port

SWITCHES_A_PAGE = 20

seeing = permission_required("machines.view_machine", raise_exception=True)
operating = permission_required("machines.operate_machine", raise_exception=True)


@dataclass(frozen=True)
class Row:
    """`problem`: why the whole switch could not be read."""

    switch: Switch
    ports: list[Port]
    problem: str


@require_safe
@never_cache
@seeing
def show(request: HttpRequest) -> HttpResponse:
    page = Paginator(Switch.objects.select_related("quarantine"), SWITCHES_A_PAGE).get_page(request.GET.get("page"))
    switches = list(page.object_list)
    found: dict[int, list[Port]] = {switch.pk: [] for switch in switches}
    for port in ports.ports_of(switches):
        found[port.switch.pk].append(port)
    rows = [Row(switch, found[switch.pk], ports.problem_of(switch)) for switch in switches]
    return render(request, "machines/cabling.html", {"page": page, "rows": rows})


@require_POST
@operating
def read(request: HttpRequest) -> HttpResponse:
    """Have one switch read, or all."""
    wanted = Switch.objects.all()
    if number := request.POST.get("switch", ""):
        wanted = wanted.filter(pk=asked.number(number))
    count = reading_ports.request(wanted.values_list("pk", flat=True), by=request.user.get_username())
    said = ngettext("%(count)s switch is being read.", "%(count)s switches are being read.", count)
    messages.success(request, said % {"count": count})
    return redirect("cabling")


@require_POST
@operating
def move(request: HttpRequest, number: int) -> HttpResponse:
    """An operator has moved a port by hand, or cannot."""
    found = get_object_or_404(PortMove.objects.select_related("switch"), pk=number)
    by, words = request.user.get_username(), {"port": found.port, "switch": found.switch}
    try:
        if request.POST.get("done") == "yes":
            cabling.confirm(number, by=by)
            messages.success(request, _("Thank you: port %(port)s of %(switch)s counts as moved.") % words)
        else:
            cabling.cannot(number, request.POST.get("why", ""), by=by)
            messages.success(request, _("Noted: port %(port)s of %(switch)s stays where it is.") % words)
    except Refused as exc:
        messages.error(request, str(exc))
    return redirect("cabling")
