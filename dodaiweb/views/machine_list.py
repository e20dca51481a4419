"""The list of machines as a page, as a file for spreadsheets, and as the ids that "select all" means."""

import csv

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import overview
from installs.attention import CAUSES
from machines import hardware, many, table, verbs
from machines.lifecycle import State
from machines.models import Machine

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one (OWASP, CSV injection)
seeing = permission_required("machines.view_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def machines(request: HttpRequest) -> HttpResponse:
    filters = table.filters_from(request.GET)
    causes = overview.causes_of_failures()
    shown = table.table(filters, failed=causes)
    ids = [machine.pk for machine in shown.page]
    return render(request, "machines/list.html", {
        "table": shown,
        "filters": filters,
        "states": State,
        "labels": {state.value: str(state.label) for state in State},
        "sizes": table.PAGE_SIZES,
        "causes": {cause: CAUSES.get(cause, cause) for cause in sorted({*causes.values(), filters.cause} - {""})},
        "running": {run.install.machine_id: run for run in overview.running_installs(now=now(), machines=ids)},
        "failed": {i.machine_id: i for i in overview.failed_installs().filter(machine__in=ids)},
        "power_words": hardware.power_words,
        "possible": verbs.possible,
        "in_use": many.USED,
        "many_limit": many.LIMIT,
    })  # fmt: skip


@require_safe
@never_cache
@seeing
def machine_ids(request: HttpRequest) -> JsonResponse:
    """The first `many.LIMIT` machines that the filters leave: `[[id, in use], ...]`, and how many there are."""
    found = table.matching(table.filters_from(request.GET), failed=overview.causes_of_failures())
    chosen = [[pk, state in many.USED] for pk, state in found.values_list("pk", "state")[: many.LIMIT]]
    return JsonResponse({"machines": chosen, "total": found.count()})


@require_safe
@never_cache
@seeing
def machines_csv(request: HttpRequest) -> HttpResponse:
    """The filtered list. No cell can be taken for a formula, and there is no password to export."""
    causes = overview.causes_of_failures()
    found = table.matching(table.filters_from(request.GET), failed=causes).defer(*table.LONG)
    rows = found.select_related("cluster__vlan", "site", "bmc").prefetch_related("interfaces")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="machines-{now():%Y-%m-%d}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    writer = csv.writer(response)
    writer.writerow(_heads())
    writer.writerows([_safe(cell) for cell in _cells(machine, causes.get(machine.pk, ""))] for machine in rows)
    return response


def _heads() -> list[str]:
    return [
        _("Machine"), _("State"), _("Power"), _("Power read"), _("Cluster"), _("VLAN"), _("Image"), _("Rack"),
        _("Unit"), _("Serial number"), _("MAC"), _("BMC"), _("Owner"), _("Site"), _("Failed"),
    ]  # fmt: skip


def _cells(machine: Machine, cause: str) -> list[object]:
    cluster, card, bmc = machine.cluster, machine.pxe_interface, getattr(machine, "bmc", None)
    return [
        machine.name, machine.get_state_display(), machine.power,
        machine.power_seen_at.isoformat(timespec="seconds") if machine.power_seen_at else "",
        cluster.name if cluster else "", cluster.vlan.vid if cluster and cluster.vlan else "", machine.image_name,
        machine.rack, machine.unit or "", machine.serial, card.mac if card else "", bmc.host if bmc else "",
        machine.owner, machine.site.name, cause,
    ]  # fmt: skip


def _safe(cell: object) -> str:
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text
