"""Which machines a request gets. Pure: values in, values out; it asks no database and no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from machines.lifecycle import State


class Why(StrEnum):
    """Why a machine is none of those chosen. The words are in words.py."""

    OTHER_TYPE = "other-type"
    NEVER_INSPECTED = "never-inspected"
    PROTECTED = "protected"
    HANDLED = "handled"
    RESERVED = "reserved"
    OWNED = "owned"
    UNERASED = "unerased"
    STATE = "state"
    OTHER_IMAGE = "other-image"
    PLAN = "plan"
    NOT_NEEDED = "not-needed"


@dataclass(frozen=True)
class Wanted:
    """`image` names one state of an image; `owner` and `cluster` are those whose machines may be taken."""

    type: str
    image: str
    count: int
    spares: int = 0
    owner: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class Candidate:
    """What placement knows of a machine. `image` is what a warm one runs; `problem` is why its plan is impossible."""

    name: str
    type: str
    state: str
    image: str = ""
    is_protected: bool = False
    handled_by: str = ""
    reserved_for: str = ""
    owner: str = ""
    cluster: str = ""
    is_inspected: bool = True
    is_unerased: bool = False
    problem: str = ""
    failures: int = 0
    """How often installs failed on it since the last one that did not."""


@dataclass(frozen=True)
class Refusal:
    why: Why
    detail: str = ""


@dataclass(frozen=True)
class Placement:
    """Names of machines. `warm` need no install, `cold` do; `spares` wait until one of them fails."""

    warm: tuple[str, ...] = ()
    cold: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()
    refused: dict[str, Refusal] = field(default_factory=dict)
    missing: int = 0
    """How many machines of those asked for there are not; spares that are missing do not count."""

    @property
    def is_whole(self) -> bool:
        return not self.missing


def allocate(candidates: Iterable[Candidate], wanted: Wanted) -> Placement:
    """Warm machines of the image first, then free ones; those that failed last, else by name.

    Spares are free ones: a warm machine is worth more to the next request.
    """
    refused: dict[str, Refusal] = {}
    warm: list[Candidate] = []
    free: list[Candidate] = []
    for machine in candidates:
        if refusal := _refusal(machine, wanted):
            refused[machine.name] = refusal
        else:
            (warm if machine.state == State.WARM else free).append(machine)
    warm, free = sorted(warm, key=_rank), sorted(free, key=_rank)
    handed = warm[: wanted.count]
    installed = free[: wanted.count - len(handed)]
    spares = free[len(installed) :][: wanted.spares]
    left = [*warm[len(handed) :], *free[len(installed) + len(spares) :]]
    refused |= {machine.name: Refusal(Why.NOT_NEEDED) for machine in left}
    return Placement(
        _names(handed), _names(installed), _names(spares), refused,
        missing=wanted.count - len(handed) - len(installed),
    )  # fmt: skip


def _refusal(machine: Candidate, wanted: Wanted) -> Refusal | None:
    """The first thing that stands in its way, from what never changes to what may change in a moment."""
    if machine.type != wanted.type:
        return Refusal(Why.OTHER_TYPE, machine.type)
    if machine.is_protected:
        return Refusal(Why.PROTECTED)
    if machine.state not in (State.FREE, State.WARM, State.NEW):
        return Refusal(Why.STATE, machine.state)
    if machine.is_unerased:
        return Refusal(Why.UNERASED)
    if machine.handled_by:
        return Refusal(Why.HANDLED, machine.handled_by)
    if machine.reserved_for and machine.reserved_for != wanted.owner:
        return Refusal(Why.RESERVED, machine.reserved_for)
    if machine.owner not in ("", wanted.owner):
        return Refusal(Why.OWNED, machine.owner)
    if machine.cluster not in ("", wanted.cluster):
        return Refusal(Why.OWNED, machine.cluster)
    if machine.state == State.NEW or not machine.is_inspected:
        return Refusal(Why.NEVER_INSPECTED)
    if machine.state == State.WARM:
        return Refusal(Why.OTHER_IMAGE) if machine.image != wanted.image else None
    return Refusal(Why.PLAN, machine.problem) if machine.problem else None


def _rank(machine: Candidate) -> tuple[int, str]:
    return machine.failures, machine.name


def _names(machines: Sequence[Candidate]) -> tuple[str, ...]:
    return tuple(machine.name for machine in machines)
