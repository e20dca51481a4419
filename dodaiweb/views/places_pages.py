"""Pages of clusters and VLANs. Installs say which of their machines failed."""

from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.timezone import now
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import overview
from installs.allocation import words
from installs.attention import CAUSES
from installs.models import Allocation
from machines import addressing, hardware, places, ports
from machines.lifecycle import State
from machines.models import Cluster, Machine, Vlan

MACHINES_A_PAGE = 50
ALLOCATIONS_SHOWN = 5


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
    machines = machines.prefetch_related("interfaces").defer("facts", "notes")
    page = Paginator(machines, MACHINES_A_PAGE).get_page(request.GET.get("page"))
    asked_for = Allocation.objects.filter(cluster=found).select_related("type", "image", "cluster")
    progress = words.progress_of(asked_for[:ALLOCATIONS_SHOWN], now=now())
    return render(request, "machines/cluster.html", {
        "row": places.cluster_rows([found], failed=overview.causes_of_failures())[0],
        "page": page,
        "failed": {i.machine_id: i for i in overview.failed_installs().filter(machine__in=list(page))},
        "operations": overview.live_operations(list(page)),
        "causes": CAUSES,
        "power_words": hardware.power_words, "addresses": {m.pk: addressing.address_of(m) for m in page},
        "allocations": [(each, words.headline(each)) for each in progress],
        "may_install": request.user.has_perm("machines.install_machine"),
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
    return render(request, "machines/vlan.html", {"vlan": found, "rows": rows, "ports": ports.of_vlan(found)})
