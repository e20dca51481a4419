"""What would happen to each machine of a proposal: its disk, its ports, its address. Nothing is taken."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import prefetch_related_objects

from installs.allocation.asking import Proposal
from machines import addressing, hardware, ports
from machines.models import Disk, Interface, Machine


@dataclass(frozen=True)
class Line:
    """`way` is warm (it is handed over), cold (it is installed) or spare (it waits). `disk` is wiped where cold."""

    machine: Machine
    way: str
    disk: Disk | None
    contents: str
    moved: Sequence[Interface]
    address: str


def lines(proposal: Proposal) -> list[Line]:
    """In the order in which machines are taken. A handful of queries."""
    placed, cluster = proposal.placement, proposal.asked.cluster
    ways = {"warm": placed.warm, "cold": placed.cold, "spare": placed.spares}
    chosen = [(way, proposal.machines[name]) for way, names in ways.items() for name in names]
    machines = [machine for _way, machine in chosen]
    prefetch_related_objects(machines, "disks", "interfaces__switch", "cluster")
    given = addressing.expected([machine for way, machine in chosen if way != "spare"], cluster)
    return [_line(way, machine, given.get(machine.pk, ""), bool(cluster.vlan_id)) for way, machine in chosen]


def _line(way: str, machine: Machine, address: str, has_vlan: bool) -> Line:
    disk = next((disk for disk in machine.disks.all() if disk.is_root), None)
    contents = hardware.disk_contents(disk) if disk else ""
    moved = ports.of_services(list(machine.interfaces.all())) if has_vlan else []
    return Line(machine, way, disk, contents, moved, address)
