"""Pages of clusters and VLANs. Installs say which of their machines failed."""

from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import overview
from installs.attention import CAUSES
from machines import hardware, places
from machines.lifecycle import State
from machines.models import Cluster, Machine, Vlan

MACHINES_A_PAGE = 50


@require_safe
@never_cache
@permission_required("machines.view_cluster", raise_exception=True)
def clusters(request: HttpRequest) -> HttpResponse:
    rows = places.cluster_rows(failed=overview.causes_of_failures())
    return render(request, "machines/clusters.html", {"rows": rows, "alone": places.without_cluster()})


@require_safe
@never_cache
@permission_required("machines.view_cluster", raise_exception=True)
def cluster(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Cluster.objects.select_related("vlan"), pk=number)
    machines = Machine.objects.filter(cluster=found).exclude(state=State.RETIRED).select_related("site", "bmc")
    page = Paginator(machines.defer("facts", "notes"), MACHINES_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "machines/cluster.html", {
        "row": places.cluster_rows([found], failed=overview.causes_of_failures())[0],
        "page": page,
        "failed": {i.machine_id: i for i in overview.failed_installs().filter(machine__in=list(page))},
        "inspected": set(overview.live_inspections().filter(machine__in=list(page)).values_list("machine", flat=True)),
        "causes": CAUSES,
        "power_words": hardware.power_words,
    })  # fmt: skip


@require_safe
@never_cache
@permission_required("machines.view_vlan", raise_exception=True)
def vlans(request: HttpRequest) -> HttpResponse:
    return render(request, "machines/vlans.html", {"rows": places.vlan_rows()})


@require_safe
@never_cache
@permission_required("machines.view_vlan", raise_exception=True)
def vlan(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Vlan, pk=number)
    rows = places.cluster_rows(found.clusters.select_related("vlan"), failed=overview.causes_of_failures())
    cards = places.cabling_of(found)
    return render(request, "machines/vlan.html", {"vlan": found, "rows": rows, "cards": cards})
