"""What an install method is. Read file_tree.py next."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from django import forms
from django.utils.translation import gettext_noop as _

from installs.models import Image, Install
from machines.models import Disk, Machine
from machines.power.base import PowerDriver


@dataclass(frozen=True)
class Next:
    """The step is done. `note` goes into the history with it: both are stored, or neither."""

    note: str = ""


@dataclass(frozen=True)
class WaitFor:
    """The step is done once the machine says so.

    It fails when the machine says nothing at all for `silence`, or when `cap` has passed whatever it says.
    What it waits for stands in the method's `waits`. `task` is what a person has to do for it, in English; whoever
    wants to be told of such tasks gets a notice.
    """

    silence: timedelta
    cap: timedelta
    task: str = ""


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

    def hold(self, span: timedelta) -> None:
        """Renew the claim for so long, before an effect that takes longer than a call to a BMC."""
        ...

    def lock(self) -> None:
        """In a transaction: the claim stays its own until that ends, and fails if it was lost."""
        ...

    def note(self, text: str, *, name: str = "note") -> None:
        """An event of the history; `name` is for those that something asks for later."""
        ...

    def keep(self, **columns: Any) -> None:
        """Store columns of the install that only this step writes, while the claim is still its own."""
        ...


@dataclass(frozen=True)
class NetworkBoot:
    """An answer to a machine that starts from the network. `token` leads to the files and script of its attempt."""

    token: str
    mac: str
    provision_url: str

    @property
    def script_url(self) -> str:
        """Answers a POST of `boot_id` with what `script` rendered."""
        return f"{self.provision_url}/script/{self.token}"

    def file_url(self, name: str) -> str:
        """Answers a GET with what `file` says, as often as it is asked."""
        return f"{self.provision_url}/file/{self.token}/{name}"


@dataclass(frozen=True)
class BootKernel:
    """What a machine loads that starts from the network."""

    kernel_url: str
    initrd_url: str
    kernel_args: tuple[str, ...]


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
    kinds: ClassVar[tuple[str, ...]] = ()
    """Image.Kind of the files that it installs; "" for images without a file."""
    metadata_form: ClassVar[type[forms.Form] | None] = None
    """What it asks of an image beside its file. Its cleaned data, as JSON, is `Image.metadata`."""
    writes_disks: ClassVar[bool] = True
    """Whether the machine has to ask for the write grant. Who writes nothing is granted nothing."""
    writes_all_disks: ClassVar[bool] = False
    """Whether it is granted all `disks` of its plan, and not the one `disk`."""
    makes_partitions: ClassVar[bool] = False
    """Whether the sizes of partitions that an image has (root, swap, ...) mean anything to it."""
    by_operator: ClassVar[bool] = False
    """Whether a person does it all, and says how it went: it needs no BMC, no network boot and no file."""
    is_light: ClassVar[bool] = False
    """Whether it moves no image: the limit of installs at a site counts and holds it not."""
    stays_on_network: ClassVar[bool] = False
    """Whether network boots lead to its kernel for as long as the machine runs the image, after the install too."""

    def run(self, step: str, work: Work) -> Outcome:
        outcome: Outcome = getattr(self, step)(work)
        return outcome

    def needs(self, step: str, install: Install) -> bool:
        """Whether this step has anything to do for this install; else it is passed over."""
        return True

    def step_after(self, event: str) -> int | None:
        """The index of the step that follows the wait for `event`; None when nothing waits for it."""
        for index, step in enumerate(self.steps):
            if self.waits.get(step) == event:
                return index + 1
        return None

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        """What stands in the way on this machine, in words of the reader's language; the plan shows it."""
        return []

    def warnings(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        """What the operator should know before saying yes."""
        return []

    def boots_network(self, received: set[str]) -> bool:
        """Whether a network boot leads to `kernel`, given the events received so far; else to the machine's disk."""
        raise NotImplementedError

    def kernel(self, plan: dict[str, Any], boot: NetworkBoot) -> BootKernel:
        """What a network boot loads: the ramdisk, which fetches the script and runs it."""
        files = f"{plan['image_url']}/ramdisk/{plan['ramdisk']}"
        words = ("panic=60", f"dodai_script={boot.script_url}", f"BOOTIF=01-{boot.mac.replace(':', '-')}")
        return BootKernel(f"{files}/vmlinuz", f"{files}/initrd", (*plan["kernel_args"].split(), *words))

    def script(self, plan: dict[str, Any]) -> str:
        """What the machine runs, with TOKEN_PLACEHOLDER where its token goes. Frozen when the install is asked for."""
        raise NotImplementedError

    def file(self, name: str, install: Install, boot: NetworkBoot) -> str | None:
        """A text that the machine fetches by `boot.file_url(name)` while its attempt goes on; None: there is none."""
        return None


class Operation(InstallMethod):
    """What is done to a machine beside putting an image on it, on the same engine: deadlines, claims, page, history.

    What it is told when it is asked for stands in its plan as `told`, values of JSON.
    """

    possible_in: ClassVar[frozenset[str]]
    """States of a machine."""
    boots_ramdisk: ClassVar[bool] = False
    writes_disks = False
    is_light = True

    def machine_problems(self, machine: Machine, told: dict[str, Any]) -> list[str]:
        """What stands in the way on this machine, in words of the reader's language; the plan shows it."""
        return []

    def facts(self, machine: Machine, told: dict[str, Any]) -> dict[str, Any]:
        """What else is frozen with its plan."""
        return {}

    def begun(self, install: Install, machine: Machine) -> None:
        """It was asked for: change the row of its machine, which the caller has locked and saves (see effects.py)."""

    def finished(self, install: Install, machine: Machine) -> None:
        """The last step is done; the same."""

    def failed(self, install: Install, machine: Machine) -> None:
        """It failed or was cancelled; the same. The machine must be left in a state with a way out."""

    def boots_network(self, received: set[str]) -> bool:
        return False

    def script(self, plan: dict[str, Any]) -> str:
        return ""
