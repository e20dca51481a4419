"""Pages that show machines and installs together. They read rows, and never talk to a BMC."""

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import overview
from installs.practice_words import practice_words
from machines import fleet as fleets
from machines import hardware, table
from machines.lifecycle import State

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
