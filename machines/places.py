"""Clusters and VLANs with what is in them, in a number of queries that never grows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count

from machines.lifecycle import State
from machines.models import Cluster, Interface, Machine, Vlan


@dataclass(frozen=True)
class Share:
    """How many machines are in one state; `percent` of all of the cluster."""

    state: str
    label: str
    count: int
    percent: float


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


def cluster_rows(clusters: Iterable[Cluster] | None = None) -> list[ClusterRow]:
    """All clusters, or those named, each with its machines by state; the retired do not count. Two queries."""
    found = Cluster.objects.select_related("vlan") if clusters is None else clusters
    in_service = Machine.objects.exclude(state=State.RETIRED).filter(cluster__isnull=False).order_by()
    by_cluster: dict[int, dict[str, int]] = {}
    for cluster, state, count in in_service.values_list("cluster", "state").annotate(n=Count("pk")):
        by_cluster.setdefault(cluster, {})[state] = count
    return [ClusterRow(cluster, _shares(by_cluster.get(cluster.pk, {}))) for cluster in found]


def vlan_rows() -> list[VlanRow]:
    """All VLANs with their clusters. Three queries."""
    by_vlan: dict[int | None, list[ClusterRow]] = {}
    for row in cluster_rows():
        by_vlan.setdefault(row.cluster.vlan_id, []).append(row)
    return [VlanRow(vlan, by_vlan.get(vlan.pk, [])) for vlan in Vlan.objects.all()]


def without_cluster() -> int:
    """Machines in service that nobody put into a cluster."""
    return Machine.objects.exclude(state=State.RETIRED).filter(cluster=None).count()


def cabling_of(vlan: Vlan) -> list[Interface]:
    """The cards of the machines of a VLAN's clusters whose cables somebody entered, by switch and port."""
    cards = Interface.objects.filter(machine__cluster__vlan=vlan).exclude(switch="").select_related("machine__cluster")
    return list(cards.exclude(machine__state=State.RETIRED).order_by("switch", "switch_port", "mac"))


def _shares(by_state: dict[str, int]) -> list[Share]:
    """In the order of a machine's life."""
    whole = sum(by_state.values())
    return [
        Share(state.value, str(state.label), by_state[state], 100 * by_state[state] / whole)
        for state in State
        if by_state.get(state)
    ]
