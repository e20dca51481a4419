"""Writes the rows of allocations. Everything that changes one goes through here, on locked rows."""

from collections.abc import Iterator

from django.utils.timezone import now

from installs import actions, ending, plan, written
from installs.allocation import lifecycle
from installs.allocation.lifecycle import Part
from installs.models import Allocation, AllocationMachine, Install
from installs.ports import back
from machines import acting, addressing, doorbell
from machines.lifecycle import State as MachineState
from machines.models import Machine

MEMBERSHIP = ("cluster", "owner", "handled_by")


def lock(number: int) -> Allocation:
    known = Allocation.objects.select_related("type", "image", "cluster")
    return known.select_for_update(of=("self",)).get(pk=number)


def change(allocation: Allocation, event: str, **fields: object) -> None:
    """The one place where an allocation's state changes: through the table."""
    fields["state"] = lifecycle.after(allocation.state, event)
    if fields["state"] not in lifecycle.LIVE:
        fields["ended_at"] = now()
    for name, value in fields.items():
        setattr(allocation, name, value)
    allocation.save(update_fields=list(fields))
    doorbell.tell_pages()


def hold(machine: Machine, allocation: Allocation) -> None:
    """Keep a spare's machine from everybody else."""
    machine.handled_by = str(allocation)
    machine.save(update_fields=["handled_by"])


def install(part: AllocationMachine, *, is_capped: bool = False) -> None:
    """Begin an install of its machine, as a member of the cluster. Raises actions.Refused, machines' Refused."""
    _join(part)
    allocation = part.allocation
    made = actions.start_install(
        part.machine, allocation.image, by=allocation.requested_by, is_capped=is_capped, retry_of=part.install
    )
    save(part, state=Part.WORKING, install=made)


def hand_over(part: AllocationMachine, pooled: Install) -> None:
    """Begin to hand over its warm machine. Raises the same."""
    _join(part)
    told = {"install": pooled.pk, "cluster": part.allocation.cluster_id}
    made = actions.start_operation(part.machine, "hand-over", told, by=part.allocation.requested_by)
    save(part, state=Part.WORKING, install=made)


def end(part: AllocationMachine, state: Part, why: str = "") -> None:
    """What became of it. A machine that its asker does not get is in the cluster, and has the owner, of before."""
    if state not in (Part.READY, Part.GIVEN_BACK):
        _leave(part, is_member=part.state != Part.HELD)
    save(part, state=state, why=why, ended_at=now())


def save(part: AllocationMachine, **fields: object) -> None:
    for name, value in fields.items():
        setattr(part, name, value)
    part.save(update_fields=list(fields))


def _leave(part: AllocationMachine, *, is_member: bool) -> None:
    """Unless somebody has it who came meanwhile. What may be running keeps its address, which nobody else gets.

    Whose ports are still in the cluster's VLAN, as they were before or could not be put back, stays in the cluster:
    it can be moved out, and no other cluster gets it.
    """
    machine = Machine.objects.select_for_update(of=("self",), no_key=True).get(pk=part.machine_id)
    if machine.handled_by not in ("", str(part.allocation)):
        return
    machine.handled_by = ""
    if is_member and machine.state not in (MachineState.IN_USE, MachineState.RELEASING):
        if not part.was_member and not any(map(back.could_not, _attempts(part))):
            addressing.join(machine, None, kept=machine.interfaces.all() if _may_run(part.install) else ())
        if not part.was_owned:
            machine.owner = ""
    _save(part, machine)
    doorbell.tell_pages(machine=machine.pk)


def _attempts(part: AllocationMachine) -> Iterator[Install]:
    """Each began where the one before it had failed."""
    install = part.install
    while install:
        yield install
        install = install.retry_of


def _may_run(install: Install | None) -> bool:
    """Whether an OS that has its address may be up, now or at its next start."""
    if install is None or install.left_behind.startswith(ending.IS_OFF):
        return False
    return install.method == "hand-over" or written.may_be_written(install)


def _join(part: AllocationMachine) -> None:
    machine = Machine.objects.select_for_update(of=("self",), no_key=True).get(pk=part.machine_id)
    if machine.unerased:
        raise actions.Refused(plan.unerased_words(machine))
    if machine.handled_by == str(part.allocation):
        machine.handled_by = ""
    addressing.join(machine, part.allocation.cluster)
    machine.owner = part.allocation.owner
    _save(part, machine)


def _save(part: AllocationMachine, machine: Machine) -> None:
    with acting.on_behalf_of(part.allocation.requested_by):
        machine.save(update_fields=MEMBERSHIP)
