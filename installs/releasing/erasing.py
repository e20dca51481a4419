"""Erasing the disks of a released machine, by somebody or once its time to undo is over."""

from installs import actions
from installs.models import Install
from machines.models import Machine


def erase(machine: Machine, *, by: str) -> Install:
    """Queue it; from then on its release cannot be undone. Raises actions.Refused with what stands in the way."""
    return actions.start_operation(machine, "erase", by=by)
