"""Pages that show machines and installs together. They read rows, and never talk to a BMC."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dodaiweb import deeds
from installs import attention, overview, practice
from installs.methods import METHODS
from installs.practice_words import practice_words
from machines import fleet as fleets

RUNNING_SHOWN = 8
BY = ("state", "power", "cluster")

seeing = permission_required("machines.view_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def fleet(request: HttpRequest) -> HttpResponse:
    moment, is_dense = now(), fleets.size() > fleets.DENSE_ABOVE
    live, failed = list(overview.live_installs()), list(overview.failed_installs())
    late = overview.late_installs(live, now=moment)
    live.sort(key=lambda install: install.pk not in late)
    running = overview.rows_of(live[:RUNNING_SHOWN] if is_dense else live, now=moment)  # tiles say no words
    units = fleets.units_of_fleet(overview.doing_by_machine(running, failed, live), moment=moment)
    counters = fleets.count(units, fleets.oldest_readings())
    counted = [install for install in live if not (counters.kind and install.machine.is_practice)]
    return render(request, "fleet.html", {
        "counters": counters,
        "racks": fleets.racks_of(units),
        "clusters": fleets.clusters_of(units),
        "is_dense": is_dense,
        "shows_names": len(units) <= fleets.NAMED_UP_TO,
        "by": request.GET.get("by") if request.GET.get("by") in BY else BY[0],
        "running": running[:RUNNING_SHOWN],
        "running_count": len(counted),
        "running_more": max(len(live) - RUNNING_SHOWN, 0),
        "late_count": sum(install.pk in late for install in counted),
        "attention": attention.grouped(failed),
        "tasks": [install for install in live if install.operator_task],
        "methods": METHODS,
        "practice": practice_words(),
        "power_labels": fleets.POWER_LABELS,
        "look_labels": fleets.LOOK_LABELS,
    })  # fmt: skip


@require_POST
@permission_required("machines.change_machine", raise_exception=True)
def practice_remove(request: HttpRequest) -> HttpResponse:
    practice.remove(by=request.user.get_username())
    deeds.note(request.user, deeds.Deed.PRACTICE_REMOVED)
    messages.success(request, _("The practice servers are removed. Connect real servers can bring them back."))
    return redirect("fleet")


@require_POST
@permission_required("machines.change_machine", raise_exception=True)
def practice_return(request: HttpRequest) -> HttpResponse:
    practice.bring_back()
    deeds.note(request.user, deeds.Deed.PRACTICE_WANTED)
    messages.success(request, _("The practice servers are coming back."))
    return redirect("fleet")
