"""What attempts do to the rows of their machines. The caller has locked them and saves COLUMNS."""

from installs import written
from installs.methods import METHODS
from installs.methods.base import Operation
from installs.models import Install
from machines import acting, lifecycle
from machines.models import Machine

COLUMNS = (
    "state", "image_name", "handled_by", "cluster", "owner", "erase_at", "unerased", "broken_by", "broken_why",
)  # fmt: skip


def begun(install: Install, machine: Machine) -> None:
    method = METHODS[install.method]
    if isinstance(method, Operation):
        method.begun(install, machine)
    else:
        machine.state = lifecycle.after(machine.state, "install")


def finished(install: Install, machine: Machine) -> None:
    method = METHODS[install.method]
    if isinstance(method, Operation):
        method.finished(install, machine)
    elif install.image:
        machine.state = lifecycle.after(machine.state, "pooled" if install.is_for_pool else "installed")
        machine.image_name = install.image.name


def failed(install: Install, machine: Machine) -> None:
    method = METHODS.get(install.method)
    if isinstance(method, Operation):
        method.failed(install, machine)
    elif install.image:
        machine.state = _after_failure(install, machine)
        if written.may_be_written(install):
            machine.image_name = ""
            # Its other disks may hold what is its owner's, whom nobody knows any more.
            machine.unerased = machine.unerased or install.plan["machine_was"] == lifecycle.State.IN_USE


def save(install: Install, machine: Machine) -> None:
    """Whose it was and in which cluster goes into its history as a change of who asked for the attempt."""
    with acting.on_behalf_of(install.requested_by):
        machine.save(update_fields=COLUMNS)


def _after_failure(install: Install, machine: Machine) -> str:
    """Where nothing was written the machine is still what it was."""
    if not written.may_be_written(install):
        return str(install.plan["machine_was"])
    try:
        return lifecycle.after(machine.state, "install_failed")
    except lifecycle.NotAllowed:
        return lifecycle.State.FREE  # somebody wrote the row meanwhile; the end must not depend on it
