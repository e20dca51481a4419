"""What people do about machines that they want: look at what they would get, ask for it, cancel. Called by pages and
commands.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from installs import actions, caps, digests, plan
from installs.allocation import rows
from installs.allocation.images import is_warm, newest_installs
from installs.allocation.lifecycle import OPEN, NotAllowed, Part, State
from installs.allocation.placement import Candidate, Placement, Wanted, allocate
from installs.lifecycle import State as InstallState
from installs.models import Allocation, AllocationMachine, Image, Install
from installs.models.allocations import MOST
from machines import doorbell, own_hosts
from machines.actions import Refused as MachineRefused
from machines.lifecycle import State as MachineState
from machines.models import Cluster, Machine, MachineType

WANTED = "wanted"  # how placement names the present state of the image


class Refused(Exception):
    """It cannot be had now. The message says why and what to do; nothing was taken."""


@dataclass(frozen=True)
class Asked:
    """`count` machines of a type with an image into a cluster, and some in reserve should installs fail."""

    type: MachineType
    image: Image
    cluster: Cluster
    count: int = 1
    spares: int = 0
    all_or_nothing: bool = False
    owner: str = ""


@dataclass(frozen=True)
class Proposal:
    """What `asked` would get now; `digest` names exactly that. `plans` are the digests of those that may be wiped."""

    asked: Asked
    placement: Placement
    machines: dict[str, Machine]
    plans: dict[str, str]
    problems: list[str] = field(default_factory=list)

    @property
    def is_possible(self) -> bool:
        return not self.problems

    @property
    def digest(self) -> str:
        placed, asked = self.placement, self.asked
        wanted = [asked.type.pk, asked.image.pk, asked.cluster.pk, asked.count, asked.spares, asked.all_or_nothing]
        image = [asked.image.sha256, asked.image.method, asked.cluster.vlan_id, asked.owner]
        plans = [self.plans[name] for name in (*placed.cold, *placed.spares)]
        return digests.digest({"list": [placed.warm, placed.cold, placed.spares, plans], "way": wanted, "image": image})


def propose(asked: Asked) -> Proposal:
    """Look, and take nothing."""
    machines = {machine.name: machine for machine in of_type(asked.type)}
    return _proposal(asked, machines)


def ask(asked: Asked, *, by: str, approved: str | None = None) -> Allocation:
    """Take the machines and begin with each of them; all of that in one transaction. Raises Refused.

    `approved` is the digest of the proposal that was shown; without it the present one counts.
    """
    try:
        with transaction.atomic():
            # Who asks at the same moment waits here, and then sees what is left.
            locked = of_type(asked.type).select_for_update(of=("self",), no_key=True).order_by("pk")
            proposal = _proposal(asked, {machine.name: machine for machine in locked})
            if proposal.problems:
                raise Refused(" ".join(proposal.problems))
            if approved is not None and approved != proposal.digest:
                raise Refused(_("Other machines are free now than when this plan was shown: look at the new one."))
            caps.check_request(by, len(proposal.placement.cold))
            return _take(proposal, by=by)
    except IntegrityError as exc:
        raise Refused(_("Somebody else took one of these machines at the same moment: ask again.")) from exc
    except (caps.OverCap, actions.Refused, MachineRefused) as exc:
        raise Refused(str(exc)) from exc


def cancel(allocation: Allocation, *, by: str) -> Allocation:
    """End what is under way. Machines that are ready stay, unless it was all or nothing. Raises Refused."""
    with transaction.atomic():
        allocation = rows.lock(allocation.pk)
        try:
            rows.change(allocation, "cancel", why_ended=f"cancelled by {by}")
        except NotAllowed as exc:
            state = str(State(allocation.state).label).lower()
            raise Refused(_("The allocation is %(state)s: there is nothing to cancel.") % {"state": state}) from exc
    return allocation


def candidates(machines: Iterable[Machine], image: Image) -> list[Candidate]:
    """What placement has to know of them, but for their plans. A handful of queries."""
    known = list(machines)
    numbers = [machine.pk for machine in known]
    newest, failures = newest_installs(numbers), _failures(numbers)
    held = set(
        AllocationMachine.objects.filter(machine__in=numbers, state__in=sorted(OPEN)).values_list("machine", flat=True)
    )
    return [
        Candidate(
            machine.name, machine.type.name if machine.type else "", machine.state,
            image=WANTED if _runs(newest.get(machine.pk), image) else "",
            is_protected=machine.protected or bool(own_hosts.why(machine)),
            handled_by=machine.handled_by or ("an allocation" if machine.pk in held else ""),
            reserved_for=machine.reservation, owner=machine.owner,
            cluster=machine.cluster.name if machine.cluster else "", is_inspected=machine.inspected_at is not None,
            is_unerased=machine.unerased, failures=failures.get(machine.pk, 0),
        )
        for machine in known
    ]  # fmt: skip


def place(machines: dict[str, Machine], image: Image, wanted: Wanted) -> tuple[Placement, dict[str, str]]:
    """As `allocate`, with the plans of those that would be installed: where one is impossible, another is taken.

    So where a person would have to type the machine's name: its disk holds what Dodai never wrote. Beside it the
    digests of these plans, by the names of their machines.
    """
    known = {each.name: each for each in candidates(machines.values(), image)}
    plans: dict[str, str] = {}
    while True:
        placed = allocate(known.values(), wanted)
        new = [name for name in (*placed.cold, *placed.spares) if name not in plans]
        if not new:
            return placed, plans
        for name in new:
            made = plan.for_install(machines[name], image)
            plans[name] = made.digest
            known[name] = replace(known[name], problem=" ".join(made.problems) or made.typed_because)


def of_type(kind: MachineType):  # type: ignore[no-untyped-def]
    """With all that plan.for_install reads of each."""
    known = Machine.objects.filter(type=kind).exclude(state=MachineState.RETIRED).annotate(was_granted=plan.WAS_GRANTED)
    known = known.select_related("site__provision_vlan", "type", "bmc", "cluster__vlan")
    return known.prefetch_related("interfaces__switch", "disks", "links")


def _proposal(asked: Asked, machines: dict[str, Machine]) -> Proposal:
    wanted = Wanted(asked.type.name, WANTED, asked.count, asked.spares, asked.owner, asked.cluster.name)
    placed, plans = place(machines, asked.image, wanted)
    return Proposal(asked, placed, machines, plans, _problems(asked, placed))


def _problems(asked: Asked, placed: Placement) -> list[str]:
    problems = []
    if not 1 <= asked.count <= MOST or not 0 <= asked.spares <= MOST:
        problems.append(_("Ask for 1 to %(most)s machines, and at most as many spares.") % {"most": MOST})
    if asked.image.retired_at:
        problems.append(_("The image %(image)s is retired: choose another one.") % {"image": asked.image.name})
    got = len(placed.warm) + len(placed.cold)
    if not got:
        problems.append(_("No machine of the type %(type)s can be had now.") % {"type": asked.type.name})
    elif placed.missing and asked.all_or_nothing:
        words = _("Only %(got)s of %(count)s machines can be had now, and it is to be all or nothing.")
        problems.append(words % {"got": got, "count": asked.count})
    return problems


def _take(proposal: Proposal, *, by: str) -> Allocation:
    asked, placed = proposal.asked, proposal.placement
    allocation = Allocation.objects.create(
        type=asked.type, image=asked.image, cluster=asked.cluster, count=asked.count, spares=asked.spares,
        all_or_nothing=asked.all_or_nothing, owner=asked.owner, requested_by=by,
    )  # fmt: skip
    chosen: Sequence[str] = (*placed.warm, *placed.cold, *placed.spares)
    newest = newest_installs(proposal.machines[name].pk for name in placed.warm)
    for position, name in enumerate(chosen):
        machine = proposal.machines[name]
        part = AllocationMachine.objects.create(
            allocation=allocation, machine=machine, position=position, was_warm=name in placed.warm,
            is_spare=name in placed.spares, state=Part.HELD if name in placed.spares else Part.WORKING,
            was_member=machine.cluster_id == asked.cluster.pk, was_owned=bool(machine.owner),
        )  # fmt: skip
        if part.is_spare:
            rows.hold(machine, allocation)
        elif part.was_warm:
            rows.hand_over(part, newest[machine.pk])
        else:
            rows.install(part, is_capped=True)
    doorbell.tell_pages()
    return allocation


def _runs(install: Install | None, image: Image) -> bool:
    return install is not None and is_warm(install, image)


def _failures(machines: Sequence[int]) -> dict[int, int]:
    """How often installs failed on each since the last that did not."""
    found: dict[int, int] = {}
    ended = Install.objects.real_installs().filter(machine__in=machines, state__in=["installed", "failed"])
    for machine, state in ended.order_by("pk").values_list("machine", "state"):
        found[machine] = found.get(machine, 0) + 1 if state == InstallState.FAILED else 0
    return found
