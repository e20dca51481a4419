"""What an allocation does at this moment, and why a machine is not part of a plan, in words that are true then."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dodaiweb.stored_words import told
from installs import overview
from installs.allocation.lifecycle import Part, State
from installs.allocation.placement import Placement, Refusal, Why
from installs.attention import cause_words
from installs.models import Allocation, AllocationMachine
from machines.lifecycle import State as MachineState

LOOKS = {
    State.WORKING: "installing", State.UNDOING: "stopping", State.DONE: "installed", State.SHORT: "aside",
    State.FAILED: "failed", State.CANCELLED: "cancelled",
}  # fmt: skip
PART_LOOKS = {
    Part.HELD: "queued", Part.WORKING: "installing", Part.READY: "installed", Part.FAILED: "failed",
    Part.LET_GO: "cancelled", Part.GIVEN_BACK: "releasing",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A machine of an allocation. `install` is its newest attempt; `replaced_by` the spare that came for it."""

    part: AllocationMachine
    install: overview.Row | None
    replaced_by: str = ""

    @property
    def look(self) -> str:
        return PART_LOOKS[Part(self.part.state)]

    @property
    def share(self) -> float:
        """How far it is, from 0 to 1."""
        if self.part.state == Part.READY:
            return 1.0
        return self.install.share if self.install and self.part.state == Part.WORKING else 0.0


@dataclass(frozen=True)
class Progress:
    allocation: Allocation
    lines: Sequence[Line]

    def count(self, *states: Part) -> int:
        return sum(line.part.state in states for line in self.lines)

    @property
    def ready(self) -> int:
        return self.count(Part.READY)

    @property
    def share(self) -> float:
        """Of all machines that were asked for, from 0 to 1."""
        if self.allocation.state == State.DONE:
            return 1.0
        return min(1.0, sum(line.share for line in self.lines) / self.allocation.count)

    @property
    def look(self) -> str:
        return LOOKS[State(self.allocation.state)]


def progress_of(allocations: Iterable[Allocation], *, now: datetime) -> list[Progress]:
    """Four queries, however many there are."""
    known = list(allocations)
    members: dict[int, list[AllocationMachine]] = {allocation.pk: [] for allocation in known}
    rows = AllocationMachine.objects.filter(allocation__in=known).defer("machine__facts", "machine__notes")
    for part in rows.select_related("machine__site", "install__image", "install__machine__site"):
        members[part.allocation_id].append(part)
    attempts = [part.install for parts in members.values() for part in parts if part.install]
    shown = {row.install.pk: row for row in overview.rows_of(attempts, now=now)}
    return [Progress(allocation, _lines(members[allocation.pk], shown)) for allocation in known]


def _lines(parts: Sequence[AllocationMachine], shown: dict[int, overview.Row]) -> list[Line]:
    """Spares begin in their order, each when one before it has failed."""
    failed = sorted((part for part in parts if part.ended_at and part.state == Part.FAILED), key=_ended)
    begun = [part for part in parts if part.is_spare and part.state not in (Part.HELD, Part.LET_GO)]
    instead = {part.pk: spare.machine.name for part, spare in zip(failed, begun, strict=False) if part.pk != spare.pk}
    return [Line(part, shown.get(part.install_id or 0), instead.get(part.pk, "")) for part in parts]


def _ended(part: AllocationMachine) -> tuple[datetime, int]:
    assert part.ended_at
    return part.ended_at, part.position


def headline(progress: Progress) -> str:
    """`2 of 4 machines are ready, 1 is under way, 1 has failed.`"""
    allocation, ready = progress.allocation, progress.ready
    whole = ngettext(
        "%(ready)s of %(count)s machine is ready", "%(ready)s of %(count)s machines are ready", allocation.count
    ) % {"ready": ready, "count": allocation.count}
    counts = [
        (_("%(n)s under way"), progress.count(Part.WORKING)), (_("%(n)s in reserve"), progress.count(Part.HELD)),
        (_("%(n)s failed"), progress.count(Part.FAILED)), (_("%(n)s given back"), progress.count(Part.GIVEN_BACK)),
    ]  # fmt: skip
    return ", ".join([whole, *(words % {"n": count} for words, count in counts if count)])


def ending(allocation: Allocation) -> str:
    """Why it ended as it did, and what that means for its machines; "" while all goes well."""
    why = told(allocation.why_ended)
    match allocation.state:
        case State.UNDOING:
            return _("What is under way is being ended, and machines are given back. %(why)s") % {"why": why}
        case State.SHORT:
            return _("Fewer machines than were asked for, and no spare is left. %(why)s") % {"why": why}
        case State.FAILED | State.CANCELLED:
            return why
    return ""


def why_of(line: Line) -> str:
    """Why a machine failed, or was taken in the place of another."""
    install = line.install.install if line.install else None
    if line.part.state == Part.FAILED and install and install.error:
        return f"{cause_words(install.cause)}: {told(install.error)}"
    return told(line.part.why)


def why(refusal: Refusal) -> str:
    """One sentence in the reader's language."""
    detail = refusal.detail
    match refusal.why:
        case Why.OTHER_TYPE:
            return _("Its type is %(type)s.") % {"type": detail} if detail else _("It has no type.")
        case Why.NEVER_INSPECTED:
            return _("It was never looked at from inside: inspect it.")
        case Why.PROTECTED:
            return _("It is protected.")
        case Why.HANDLED:
            return _("It is in the hands of %(who)s.") % {"who": told(detail)}
        case Why.RESERVED:
            return _("It is reserved for %(who)s.") % {"who": detail}
        case Why.OWNED:
            return _("It belongs to %(who)s.") % {"who": detail}
        case Why.UNERASED:
            return _("Its disks have to be erased first.")
        case Why.STATE:
            return _("It is %(state)s.") % {"state": str(MachineState(detail).label).lower()}
        case Why.OTHER_IMAGE:
            return _("It is warm with another image, or with an older state of this one.")
        case Why.PLAN:
            return detail
        case Why.NOT_NEEDED:
            return _("It would do, but others come first.")


def refused(placement: Placement) -> list[tuple[str, list[str]]]:
    """(why, names of machines), what concerns most machines last: those are the usual ones."""
    names: dict[str, list[str]] = {}
    for name, refusal in placement.refused.items():
        names.setdefault(why(refusal), []).append(name)
    return sorted(names.items(), key=lambda pair: (len(pair[1]), pair[0]))


def question(placement: Placement) -> str:
    """For the button that asks for it."""
    warm, cold = len(placement.warm), len(placement.cold)
    hand_over = ngettext("hand over %(n)s machine", "hand over %(n)s machines", warm) % {"n": warm}
    install = ngettext("install %(n)s machine", "install %(n)s machines", cold) % {"n": cold}
    said = ", ".join(words for words, count in ((hand_over, warm), (install, cold)) if count)
    return said[:1].upper() + said[1:]
