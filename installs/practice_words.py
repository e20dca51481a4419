"""What the practice servers are at, for whoever has just started Dodai."""

from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dodaiweb.formats import duration, number_word
from installs import ramdisk
from installs.lifecycle import State
from installs.models import Image, Install
from machines.lifecycle import State as MachineState
from machines.models import Machine, Site

PRACTICE_IMAGE = "tiny"
COMPARED = 15


@dataclass(frozen=True)
class PracticeWords:
    """`is_ready`: all of them have been looked at from inside and can be installed."""

    headline: str
    details: str
    is_ready: bool = False
    failed: Install | None = None


def practice_words() -> PracticeWords | None:
    """None where there are real machines, or no lab at all."""
    if is_removed():
        return None
    kept = Machine.objects.exclude(state=MachineState.RETIRED)
    if kept.filter(site__is_practice=False).exists():
        return None
    machines = list(kept.order_by("name"))
    if not machines:
        return _being_made() if lab_runs() else None
    unseen = [machine for machine in machines if machine.inspected_at is None]
    return _being_inspected(machines, unseen) if unseen else _ready(len(machines))


def is_removed() -> bool:
    """Whether somebody has removed the practice servers."""
    return Site.objects.filter(is_practice=True, closed_at__isnull=False).exists()


def usual_install() -> timedelta | None:
    """How long the practice image took here, as measured; None before the first one."""
    done = Install.objects.filter(state=State.INSTALLED, machine__site__is_practice=True, image__name=PRACTICE_IMAGE)
    times = done.values_list("queued_at", "ended_at")[:COMPARED]
    took = [(ended - queued).total_seconds() for queued, ended in times if ended]
    return timedelta(seconds=median(took)) if took else None


def lab_runs() -> bool:
    """Whether a lab has left its control socket here; it removes it when it ends."""
    return (settings.DATA / "lab" / "control.sock").exists()


def _ready(count: int) -> PracticeWords:
    headline = ngettext("%(count)s practice server is ready.", "%(count)s practice servers are ready.", count)
    where = ngettext(
        "It lives inside this computer; nothing here can touch your network.",
        "They live inside this computer; nothing here can touch your network.",
        count,
    )
    usual = usual_install()
    measured = _("An install takes about %(time)s here.") % {"time": duration(usual)} if usual else ""
    return PracticeWords(headline % {"count": number_word(count).capitalize()}, f"{where} {measured}".strip(), True)


def _being_made() -> PracticeWords:
    if ramdisk.latest("lab", settings.DATA) is None:
        doing = _("The ramdisk that installs them is being built from Debian packages; only the first start does that.")
    elif not Image.objects.filter(name=PRACTICE_IMAGE).exists():
        doing = _("The ramdisk is built; their image “%(image)s” is being made.") % {"image": PRACTICE_IMAGE}
    else:
        doing = _("Ramdisk and image are there; the servers are being entered into the inventory.")
    return PracticeWords(_("Practice servers are being prepared."), doing)


def _being_inspected(machines: list[Machine], unseen: list[Machine]) -> PracticeWords:
    last = Install.objects.filter(machine__in=unseen).select_related("machine")
    failed = last.filter(state=State.FAILED).exclude(machine__in=Install.objects.live().values("machine")).first()
    if failed:
        headline = _("%(name)s could not be inspected.") % {"name": failed.machine}
        return PracticeWords(headline, failed.error, failed=failed)
    details = _("Still to come: %(names)s. %(done)s of %(count)s are done.") % {
        "names": ", ".join(machine.name for machine in unseen),
        "done": len(machines) - len(unseen),
        "count": len(machines),
    }
    return PracticeWords(_("Practice servers are being looked at from inside."), details)
