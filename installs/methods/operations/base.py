"""What operations share that move ports of machines with an OS, or take machines from their owners."""

from typing import Any

from django.utils.translation import gettext as _

from installs import site_hook
from installs.methods.base import Next, Operation, Outcome, StepFailed, Work
from installs.ports import moving, which
from machines.models import Cluster, Machine

SITE_REFUSED = "site-refused"


class PortOperation(Operation):
    def join_vlan(self, work: Work) -> Outcome:
        return moving.put(work, which.HOME)

    def check_ports(self, work: Work) -> Outcome:
        return moving.check(work, which.HOME)


def ask_site(work: Work, *, otherwise: str) -> Outcome:
    """A step before anything is done to the machine: without a yes it `otherwise`, in English."""
    if not site_hook.is_set():
        return Next()
    work.hold(site_hook.MAY_TAKE)
    if why := site_hook.why_not(work.install):
        raise StepFailed(f"{work.machine.name} {otherwise}: {why}", cause=SITE_REFUSED)
    return Next(note="The site agrees.")


def cluster_of(told: dict[str, Any]) -> Cluster | None:
    """That it is told to go to; None where it is told none, or one that is there no more."""
    return Cluster.objects.select_related("vlan").filter(pk=told.get("cluster") or 0).first()


def problems_of_cluster(told: dict[str, Any]) -> list[str]:
    if told.get("cluster") is not None and cluster_of(told) is None:
        return [_("That cluster is not there any more: choose another one.")]
    return []


def problems_of_power(machine: Machine) -> list[str]:
    if hasattr(machine, "bmc"):
        return []
    return [_("%(name)s has no power driver: choose one in the inventory.") % {"name": machine.name}]
