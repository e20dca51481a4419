"""What an install method is. Read file_tree.py next."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from django.utils.translation import gettext_noop as _

from installs.models import Install
from machines.models import Machine
from machines.power.base import PowerDriver


@dataclass(frozen=True)
class Next:
    """The step is done. `note` goes into the history with it: both are stored, or neither."""

    note: str = ""


@dataclass(frozen=True)
class WaitFor:
    """The step is done once the machine says so.

    It fails when the machine says nothing at all for `silence`, or when `cap` has passed whatever it says.
    What it waits for stands in the method's `waits`.
    """

    silence: timedelta
    cap: timedelta


@dataclass(frozen=True)
class Again:
    """Not there yet: run this step again after a while."""

    after: timedelta


Outcome = Next | WaitFor | Again


class StepFailed(Exception):
    """The install cannot go on. The message is for the operator, the cause groups failures."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class Work(Protocol):
    """What a step gets: the install it works on, and the means to have an effect while it still may."""

    install: Install

    @property
    def machine(self) -> Machine: ...

    @property
    def power(self) -> PowerDriver:
        """The machine's power driver; every call first renews the claim, and fails if it was lost."""
        ...

    def note(self, text: str, *, name: str = "note") -> None:
        """An event of the history; `name` is for those that something asks for later."""
        ...


class InstallMethod:
    """A way to put an image on a machine: a list of steps, each a method that returns within seconds.

    A step has ONE outside effect at most and may run twice (a worker can die half-way), so it sets things
    rather than toggles them.
    """

    slug: ClassVar[str]
    label: ClassVar[str]
    """In English, marked for translation like all words here; pages translate what they show."""
    steps: ClassVar[tuple[str, ...]]
    waits: ClassVar[dict[str, str]]
    """Step -> the event that ends it. Such a step returns WaitFor, has no effect and runs in the transaction that
    reached it. The order of steps ranks the events: a later one ends earlier waits."""
    last_looks: ClassVar[dict[str, str]] = {}
    """Step that waits -> what a worker runs once that wait was in vain, before the install is given up: a look whether
    the machine has done it all the same. It returns Next, or Again for as long as `flow.LAST_LOOK` lasts."""
    milestones: ClassVar[tuple[tuple[str, str], ...]]
    """What the timeline shows: (name of an event, phase or step; words for it while it goes on)."""
    phases: ClassVar[tuple[str, ...]] = ()
    """Those milestones that are phases of the script; a step may have the same name and begins earlier."""
    done_label: ClassVar[str] = _("Installed")
    writes_disks: ClassVar[bool] = True

    def run(self, step: str, work: Work) -> Outcome:
        outcome: Outcome = getattr(self, step)(work)
        return outcome

    def step_after(self, event: str) -> int | None:
        """The index of the step that follows the wait for `event`; None when nothing waits for it."""
        for index, step in enumerate(self.steps):
            if self.waits.get(step) == event:
                return index + 1
        return None

    def boots_ramdisk(self, received: set[str]) -> bool:
        """Whether a network boot leads to the ramdisk, given the events received so far."""
        raise NotImplementedError

    def script(self, plan: dict[str, Any]) -> str:
        """What the ramdisk runs, with TOKEN_PLACEHOLDER where its token goes."""
        raise NotImplementedError
