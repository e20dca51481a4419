"""Machines that go from one owner to another, or back. Called by pages, commands and jobs alike."""

from django.utils.translation import gettext as _

from installs import actions
from installs.actions import Refused
from installs.models import Install
from installs.ports import which
from machines import upkeep
from machines.actions import Refused as MachineRefused
from machines.lifecycle import State
from machines.models import Cluster, Machine

LONGEST_MINUTES = 100_000


def release(machine: Machine, *, by: str, keep_minutes: int | None = None) -> Install:
    """Take it from its owner; its disks are kept for so long, None: as the settings say. Raises Refused."""
    if keep_minutes is not None and not 0 <= keep_minutes <= LONGEST_MINUTES:
        raise Refused(_("Disks are kept for 0 to %(most)s minutes.") % {"most": LONGEST_MINUTES})
    return actions.start_operation(machine, "release", {"keep_minutes": keep_minutes}, by=by)


def undo_release(machine: Machine, *, by: str) -> Install:
    """Give it back to whom it was taken from. Raises Refused, also once it is being erased."""
    return actions.start_operation(machine, "undo-release", by=by)


def move_to(machine: Machine, cluster: Cluster | None, *, by: str) -> Install | None:
    """Put it into a cluster, or into none (its ports are parked then). None where that is done at once. Raises Refused.

    At once goes what moves no port.
    """
    is_going = machine.state in (State.RELEASING, State.ERASING)
    if machine.state in (State.NEW, State.ASIDE, State.BROKEN) or not (is_going or which.joining(machine, cluster)):
        try:
            upkeep.choose_cluster(machine, cluster)
        except MachineRefused as exc:
            raise Refused(str(exc)) from exc
        return None
    return actions.start_operation(machine, "move", {"cluster": cluster.pk if cluster else None}, by=by)


__all__ = ["Refused", "move_to", "release", "undo_release"]
