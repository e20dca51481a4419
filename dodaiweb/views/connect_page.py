"""Connect real servers: five steps that tick by themselves, and the practice servers that go once they are done."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from installs import connecting, dhcp
from installs.practice_words import is_removed, lab_runs, usual_install
from machines import adopting, bmc_words
from machines.actions import Refused
from machines.lifecycle import State
from machines.models import Machine, Sighting

seeing = permission_required("machines.view_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def connect(request: HttpRequest) -> HttpResponse:
    progress = connecting.progress()
    network = request.GET.get("network", "").strip()[:31] or dhcp.likely_network(progress.url)
    lines, problem = _dhcp_lines(progress.url, network)
    return render(request, "connect.html", {
        "p": progress,
        "network": network,
        "dhcp_lines": lines,
        "dhcp_problem": problem,
        "worst": bmc_words.worst,
        "level_label": bmc_words.level_label,
        "practice_count": Machine.objects.practice().exclude(state=State.RETIRED).count(),
        "practice_usual": usual_install(),
        "may_return": is_removed() and lab_runs(),
    })  # fmt: skip


@require_POST
@permission_required("machines.add_machine", raise_exception=True)
def adopt(request: HttpRequest, number: int) -> HttpResponse:
    """Enter an unknown machine that asked how to boot."""
    sighting = Sighting.objects.filter(pk=number).first()
    if sighting is None:
        messages.error(request, _("This sighting is gone: somebody else entered or forgot it."))
        return redirect("connect")
    try:
        machine = adopting.adopt(sighting, name=request.POST.get("name", ""))
    except Refused as exc:
        messages.error(request, str(exc))
        return redirect("connect")
    messages.success(request, _("%(name)s is in the inventory. Enter its BMC next, then test it.") % {"name": machine})
    return redirect("machine", machine.name)


def _dhcp_lines(url: str, network: str) -> tuple[dict[str, tuple[str, str]], str]:
    """Server -> its name and the lines for it; with them what is wrong with the network, if anything."""
    if not network:
        return {}, ""
    try:
        found = dhcp.network_of(network)
    except dhcp.BadNetwork as exc:
        return {}, str(exc)
    return {name: (str(label), dhcp.lines(name, url=url, network=found)) for name, label in dhcp.SERVERS.items()}, ""
