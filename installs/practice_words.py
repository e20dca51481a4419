"""What the practice servers are at, for whoever has just started Dodai."""

from dataclasses import dataclass

from django.conf import settings

from dodaiweb.formats import number_word
from installs import ramdisk
from installs.lifecycle import State
from installs.models import Image, Install
from machines.lifecycle import State as MachineState
from machines.models import Machine

PRACTICE_IMAGE = "tiny"


@dataclass(frozen=True)
class PracticeWords:
    """`is_ready`: all of them have been looked at from inside and can be installed."""

    headline: str
    details: str
    is_ready: bool = False
    failed: Install | None = None


def practice_words() -> PracticeWords | None:
    """None where there are real machines, or no lab at all."""
    kept = Machine.objects.exclude(state=MachineState.RETIRED)
    if kept.filter(site__is_practice=False).exists():
        return None
    machines = list(kept)
    if not machines:
        return _being_made() if lab_runs() else None
    unseen = [machine for machine in machines if machine.inspected_at is None]
    return _being_inspected(machines, unseen) if unseen else _ready(len(machines))


def lab_runs() -> bool:
    """Whether a lab has left its control socket here; it removes it when it ends."""
    return (settings.DATA / "lab" / "control.sock").exists()


def _ready(count: int) -> PracticeWords:
    are, they = ("servers are", "They live") if count > 1 else ("server is", "It lives")
    return PracticeWords(
        f"{number_word(count).capitalize()} practice {are} ready.",
        f"{they} inside this computer; nothing here can touch your network.",
        is_ready=True,
    )


def _being_made() -> PracticeWords:
    if ramdisk.latest("lab", settings.DATA) is None:
        doing = "The ramdisk that installs them is being built from Debian packages; only the first start does that."
    elif not Image.objects.filter(name=PRACTICE_IMAGE).exists():
        doing = f"The ramdisk is built; their image “{PRACTICE_IMAGE}” is being made."
    else:
        doing = "Ramdisk and image are there; the servers are being entered into the inventory."
    return PracticeWords("Practice servers are being prepared.", doing)


def _being_inspected(machines: list[Machine], unseen: list[Machine]) -> PracticeWords:
    done = f"{len(machines) - len(unseen)} of {len(machines)} are done."
    last = Install.objects.filter(machine__in=unseen).select_related("machine")
    failed = last.filter(state=State.FAILED).exclude(machine__in=Install.objects.live().values("machine")).first()
    if failed:
        return PracticeWords(f"{failed.machine} could not be inspected.", failed.error, failed=failed)
    names = ", ".join(machine.name for machine in unseen)
    return PracticeWords("Practice servers are being looked at from inside.", f"Still to come: {names}. {done}")
