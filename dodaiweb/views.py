"""Pages that show machines and installs together. They read rows, and never talk to a BMC."""

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.timezone import now
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import logs, overview
from installs.models import Install
from installs.practice_words import practice_words
from installs.words import done_label
from machines import fleet as fleets
from machines import hardware, table
from machines.console import console_tail
from machines.lifecycle import State
from machines.models import Machine

HISTORY_SHOWN = 20
ATTENTION_SHOWN = 8
RUNNING_SHOWN = 8
BY = ("state", "power", "cluster")

seeing = permission_required("machines.view_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def fleet(request: HttpRequest) -> HttpResponse:
    moment = now()
    running, failed = overview.running_installs(now=moment), list(overview.failed_installs())
    units = fleets.units_of_fleet(overview.doing_by_machine(running, failed), now=moment)
    return render(request, "fleet.html", {
        "counters": fleets.count(units),
        "racks": fleets.racks_of(units),
        "clusters": fleets.clusters_of(units),
        "is_dense": len(units) > fleets.DENSE_ABOVE,
        "shows_names": len(units) <= fleets.NAMED_UP_TO,
        "by": request.GET.get("by") if request.GET.get("by") in BY else BY[0],
        "running": running[:RUNNING_SHOWN],
        "running_count": len(running),
        "attention": overview.described(failed[:ATTENTION_SHOWN]),
        "practice": practice_words(),
    })  # fmt: skip


@require_safe
@never_cache
@seeing
def machines(request: HttpRequest) -> HttpResponse:
    filters = table.filters_from(request.GET)
    failed = list(overview.failed_installs())
    shown = table.table(filters, failed={install.machine_id for install in failed})
    return render(request, "machines/list.html", {
        "table": shown,
        "filters": filters,
        "states": State,
        "running": {run.install.machine_id: run for run in overview.running_installs(now=now())},
        "failed": {install.machine_id: install for install in failed},
        "power_words": hardware.power_words,
    })  # fmt: skip


@require_safe
@never_cache
@seeing
def machine(request: HttpRequest, name: str) -> HttpResponse:
    known = Machine.objects.select_related("site", "type", "cluster__vlan", "bmc__credentials")
    found = get_object_or_404(known, name=name)
    history = Install.objects.filter(machine=found).select_related("image")[:HISTORY_SHOWN]
    console = console_tail(found)
    return render(request, "machines/detail.html", {
        "machine": found,
        "power": hardware.power_words(found),
        "hardware": hardware.hardware(found),
        "disks": [(disk, hardware.disk_contents(disk)) for disk in found.disks.all()],
        "interfaces": found.interfaces.all(),
        "command": found.power_commands.first(),
        "history": overview.with_marks(list(history)),
        "live": Install.objects.live().filter(machine=found).first(),
        "done_label": done_label,
        "console": None if console is None else logs.last_lines(console),
        "states": State,
    })  # fmt: skip
