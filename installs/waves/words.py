"""What a wave does and waits for at this moment, in words that are true then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dodaiweb.stored_words import told
from installs import overview
from installs.lifecycle import State as InstallState
from installs.models import CANARIES, Wave, WaveMachine
from installs.waves import windows
from installs.waves.lifecycle import State

EVENTS = {
    "propose": gettext_lazy("proposed"), "approve": gettext_lazy("approved"), "pause": gettext_lazy("paused"),
    "resume": gettext_lazy("told to go on"), "cancel": gettext_lazy("cancelled"), "stop": gettext_lazy("stopped"),
    "finish": gettext_lazy("done"), "skip": gettext_lazy("skipped a machine"),
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A machine of a wave as the page shows it. `install` is there once its turn has come."""

    row: WaveMachine
    install: overview.Row | None

    @property
    def look(self) -> str:
        """The state that colours it."""
        if self.install:
            return self.install.install.state
        return "cancelled" if self.row.skipped_at else "queued"


@dataclass(frozen=True)
class Progress:
    """All machines of a wave, in the order of their turns."""

    wave: Wave
    lines: Sequence[Line]

    def count(self, *looks: str) -> int:
        return sum(line.install is not None and line.look in looks for line in self.lines)

    @property
    def installed(self) -> int:
        return self.count(InstallState.INSTALLED)

    @property
    def bad(self) -> int:
        return self.count(InstallState.FAILED, InstallState.CANCELLED)

    @property
    def live(self) -> list[Line]:
        return [line for line in self.lines if line.install and line.install.install.is_live]

    @property
    def waiting(self) -> list[Line]:
        return [line for line in self.lines if not line.install and not line.row.skipped_at]

    @property
    def skipped(self) -> int:
        return sum(line.row.skipped_at is not None for line in self.lines)

    @property
    def share(self) -> float:
        ended = len(self.lines) - len(self.live) - len(self.waiting)
        return ended / len(self.lines) if self.lines else 0.0


def progress_of(wave: Wave, *, now: datetime) -> Progress:
    """Four queries, however many machines there are."""
    members = list(wave.machines.select_related("machine__site", "install__image", "install__machine__site"))
    shown = overview.rows_of([row.install for row in members if row.install], now=now)
    by_number = {found.install.pk: found for found in shown}
    return Progress(wave, [Line(row, by_number.get(row.install_id or 0)) for row in members])


def part_words(part: int) -> str:
    return _("Canaries") if part == CANARIES else _("Part %(number)s") % {"number": part}


def waits_for(progress: Progress, *, now: datetime) -> str:
    """Why nothing more begins this moment, or what does."""
    wave, live = progress.wave, len(progress.live)
    under_way = ngettext("%(count)s install is under way.", "%(count)s installs are under way.", live) % {"count": live}
    match wave.state:
        case State.PROPOSED:
            return _("Nothing happens before somebody who may approves the list below.")
        case State.RUNNING:
            return _running(progress, now, under_way)
        case State.PAUSED:
            return " ".join([_("Nothing more begins until somebody lets it go on."), *([under_way] if live else [])])
        case State.STOPPED:
            return " ".join([_("Nothing more begins."), told(wave.why_ended), *([under_way] if live else [])])
        case State.CANCELLED:
            return " ".join([_("Nothing more begins."), *([under_way] if live else [])])
    return _("Every machine had its turn.")


def rules(wave: Wave) -> list[str]:
    """How it was told to go, sentence by sentence."""
    canaries = ngettext("%(count)s canary first", "%(count)s canaries first", wave.canary_count)
    parts = ngettext("then %(count)s machine at a time", "then %(count)s machines at a time", wave.part_size)
    stops = ngettext(
        "stops when %(count)s install fails or is cancelled", "stops when %(count)s installs fail or are cancelled",
        wave.stop_at,
    )  # fmt: skip
    said = [canaries % {"count": wave.canary_count}, parts % {"count": wave.part_size}, stops % {"count": wave.stop_at}]
    return [*said, window_words(wave)]


def window_words(wave: Wave) -> str:
    if wave.window_from is None or wave.window_to is None:
        return _("begins installs at any time")
    values = {"begin": f"{wave.window_from:%H:%M}", "end": f"{wave.window_to:%H:%M}", "zone": f"{localtime():%Z}"}
    return _("begins installs from %(begin)s to %(end)s (%(zone)s)") % values


def _running(progress: Progress, now: datetime, under_way: str) -> str:
    wave, following = progress.wave, progress.waiting[:1]
    if not following:
        return under_way if progress.live else _("It is done within seconds.")
    part = following[0].row.part
    if any(line.row.part != part for line in progress.live):
        return f"{under_way} {_('Next: %(part)s, when all before it have ended.') % {'part': part_words(part)}}"
    if wave.window_from and not windows.is_open(wave.window_from, wave.window_to, now):
        opening = localtime(windows.opens_at(wave.window_from, now))
        return _("Next: %(part)s, when the window opens at %(time)s.") % {
            "part": part_words(part), "time": f"{opening:%Y-%m-%d %H:%M %Z}",
        }  # fmt: skip
    return _("Next: %(part)s, within seconds.") % {"part": part_words(part)}
