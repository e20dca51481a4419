"""What time does to waves: it begins the next machine of each as soon as its rules allow.

The rows are the truth. A turn is one transaction that locks the wave, looks at everything anew and does one thing at
most; any process may take it, any number at once, and one that dies in between has done nothing. Between two machines
nobody sleeps: the next turn comes from the next watchdog's look.
"""

import logging
from datetime import datetime

from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now

from installs import actions
from installs.lifecycle import State as InstallState
from installs.models import CANARIES, Notice, Wave, WaveMachine
from installs.notices import outbox
from installs.waves import rows, windows
from installs.waves.lifecycle import State

logger = logging.getLogger(__name__)


def take_all() -> None:
    """Bring every wave as far as it may go now."""
    for wave_id in Wave.objects.filter(state__in=[State.RUNNING, State.PAUSED]).values_list("pk", flat=True):
        try:
            while take(wave_id):
                pass
        except DatabaseError:
            raise
        except Exception:  # of this wave alone: the others, and all deadlines, go on
            logger.exception("wave %s: its turn", wave_id)


def take(wave_id: int, *, at: datetime | None = None) -> bool:
    """One turn. True when it did something, so that the next may follow at once; False when the wave has to wait."""
    with transaction.atomic():
        waves = Wave.objects.filter(pk=wave_id, state__in=[State.RUNNING, State.PAUSED]).select_related("image")
        locking = waves.select_for_update(
            of=("self",), skip_locked=connection.features.has_select_for_update_skip_locked
        )
        wave = locking.first()
        return wave is not None and _turn(wave, at or now())


def _turn(wave: Wave, moment: datetime) -> bool:
    bad = list(wave.machines.ended_badly().select_related("machine", "install"))
    if len(bad) >= wave.stop_at:
        _stop(wave, bad)
        return False
    following = wave.machines.waiting().select_related("machine").first()
    before = wave.machines.live().exclude(part=following.part) if following else wave.machines.live()
    if wave.state == State.PAUSED or before.exists():
        return False
    if following is None:
        rows.change(wave, "finish", ended_at=moment)
        return False
    if not windows.is_open(wave.window_from, wave.window_to, moment):
        return False
    _begin(wave, following)
    return True


def _begin(wave: Wave, row: WaveMachine) -> None:
    """Install it if its plan is still the one that was approved; else skip it, and say what changed."""
    try:
        actions.start_install(row.machine, wave.image, by=wave.requested_by, approved=row.plan_digest, of_wave=row)
    except actions.Refused as exc:
        row.install = None
        row.skipped_at, row.skipped_why = now(), str(exc)
        row.save(update_fields=["skipped_at", "skipped_why"])
        rows.note(wave, "skip", text=f"{row.machine.name}: {exc}")
        if row.part == CANARIES:
            rows.fill_canaries(wave)


def _stop(wave: Wave, bad: list[WaveMachine]) -> None:
    failed = sum(row.install is not None and row.install.state == InstallState.FAILED for row in bad)
    causes = ", ".join(f"{row.machine.name} ({row.install.cause})" for row in bad if row.install is not None)
    why = f"{failed} installs failed, {len(bad) - failed} were cancelled: {causes}"
    rows.change(wave, "stop", text=why, why_ended=why, ended_at=now())
    outbox.note_wave(wave, Notice.Kind.WAVE_STOPPED)
