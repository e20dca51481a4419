"""Clusters and VLANs with what is in them, in a number of queries that never grows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count
from django.utils.translation import gettext as _

from machines.fleet import LOOKS
from machines.lifecycle import State
from machines.models import Cluster, Machine, Vlan
from machines.table import FAILED


@dataclass(frozen=True)
class Share:
    """How many machines are in one state, or failed; `percent` of all of the cluster."""

    state: str
    label: str
    count: int
    percent: float

    @property
    def look(self) -> str:
        return LOOKS.get(self.state, self.state)


@dataclass(frozen=True)
class ClusterRow:
    cluster: Cluster
    shares: Sequence[Share]

    @property
    def count(self) -> int:
        return sum(share.count for share in self.shares)


@dataclass(frozen=True)
class VlanRow:
    vlan: Vlan
    clusters: Sequence[ClusterRow]

    @property
    def count(self) -> int:
        return sum(row.count for row in self.clusters)


def cluster_rows(
    clusters: Iterable[Cluster] | None = None, *, failed: Collection[int] = frozenset()
) -> list[ClusterRow]:
    """All clusters, or those named, each with its machines by state; the retired do not count. Three queries.

    `failed`: the machines whose last attempt failed, which installs know. They count as that, whatever their state.
    """
    found = Cluster.objects.select_related("vlan") if clusters is None else clusters
    in_service = Machine.objects.exclude(state=State.RETIRED).filter(cluster__isnull=False).order_by()
    by_cluster: dict[int, dict[str, int]] = {}
    well, ill = in_service.exclude(pk__in=failed), in_service.filter(pk__in=failed)
    for cluster, state, count in well.values_list("cluster", "state").annotate(n=Count("pk")):
        by_cluster.setdefault(cluster, {})[state] = count
    for cluster, count in ill.values_list("cluster").annotate(n=Count("pk")):
        by_cluster.setdefault(cluster, {})[FAILED] = count
    return [ClusterRow(cluster, _shares(by_cluster.get(cluster.pk, {}))) for cluster in found]


def vlan_rows() -> list[VlanRow]:
    """All VLANs with their clusters. Four queries."""
    by_vlan: dict[int | None, list[ClusterRow]] = {}
    for row in cluster_rows():
        by_vlan.setdefault(row.cluster.vlan_id, []).append(row)
    return [VlanRow(vlan, by_vlan.get(vlan.pk, [])) for vlan in Vlan.objects.all()]


def without_cluster() -> int:
    """Machines in service that nobody put into a cluster."""
    return Machine.objects.exclude(state=State.RETIRED).filter(cluster=None).count()


def _shares(by_state: dict[str, int]) -> list[Share]:
    """In the order of a machine's life, what failed at the end."""
    whole = sum(by_state.values())
    labels = {state.value: str(state.label) for state in State} | {FAILED: _("Failed")}
    return [
        Share(state, label, by_state[state], 100 * by_state[state] / whole)
        for state, label in labels.items()
        if by_state.get(state)
    ]
