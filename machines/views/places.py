"""Pages of clusters and VLANs."""

from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from machines import hardware, places
from machines.fleet import LOOKS
from machines.lifecycle import State
from machines.models import Cluster, Machine, Vlan

MACHINES_A_PAGE = 50


@require_safe
@never_cache
@permission_required("machines.view_cluster", raise_exception=True)
def clusters(request: HttpRequest) -> HttpResponse:
    rows, alone = places.cluster_rows(), places.without_cluster()
    return render(request, "machines/clusters.html", {"rows": rows, "alone": alone, "looks": LOOKS})


@require_safe
@never_cache
@permission_required("machines.view_cluster", raise_exception=True)
def cluster(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Cluster.objects.select_related("vlan"), pk=number)
    machines = Machine.objects.filter(cluster=found).exclude(state=State.RETIRED).select_related("site", "bmc")
    return render(request, "machines/cluster.html", {
        "row": places.cluster_rows([found])[0],
        "page": Paginator(machines.defer("facts", "notes"), MACHINES_A_PAGE).get_page(request.GET.get("page")),
        "power_words": hardware.power_words,
        "looks": LOOKS,
    })  # fmt: skip


@require_safe
@never_cache
@permission_required("machines.view_vlan", raise_exception=True)
def vlans(request: HttpRequest) -> HttpResponse:
    return render(request, "machines/vlans.html", {"rows": places.vlan_rows(), "looks": LOOKS})


@require_safe
@never_cache
@permission_required("machines.view_vlan", raise_exception=True)
def vlan(request: HttpRequest, number: int) -> HttpResponse:
    found = get_object_or_404(Vlan, pk=number)
    rows = places.cluster_rows(found.clusters.select_related("vlan"))
    cards = places.cabling_of(found)
    return render(request, "machines/vlan.html", {"vlan": found, "rows": rows, "cards": cards, "looks": LOOKS})
