"""What people do to a wave: propose it, approve its exact list, pause, go on, cancel. Called by pages and commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import override

from installs import digests, many
from installs.models import CANARIES, Image, Wave, WaveMachine
from installs.waves import lifecycle, rows
from installs.waves.lifecycle import NotAllowed, State
from machines.models import Machine


class Refused(Exception):
    """It cannot be done now. The message says why and what to do."""


@dataclass(frozen=True)
class Rules:
    """How a wave goes: `canary_count` machines first, then `part_size` at a time; see `Wave` for the rest."""

    canary_count: int = 1
    part_size: int = 10
    stop_at: int = 1
    window_from: time | None = None
    window_to: time | None = None


def propose(machines: Sequence[Machine], image: Image, rules: Rules, *, by: str) -> Wave:
    """Write a wave down; it does nothing before it is approved. Raises Refused."""
    if not machines:
        raise Refused(_("Choose the machines first."))
    if problem := window_problem(rules.window_from, rules.window_to):
        raise Refused(problem)
    wave = Wave(image=image, requested_by=by, **vars(rules))
    try:
        wave.full_clean(exclude={field.name for field in Wave._meta.fields} - set(vars(rules)))
        made = many.plans(machines, image)
    except ValidationError as exc:
        raise Refused(" ".join(exc.messages)) from exc
    except many.Refused as exc:
        raise Refused(str(exc)) from exc
    if not made.possible:
        raise Refused(_("Nothing here can be installed."))
    with transaction.atomic():
        wave.save()
        WaveMachine.objects.bulk_create(
            WaveMachine(wave=wave, machine=machine, position=position, part=part_of(position, rules))
            for position, machine in enumerate(machines)
        )
        rows.note(wave, "propose", by=by)
    return wave


def window_problem(window_from: time | None, window_to: time | None) -> str:
    """Why these two are no window; "" where they are one, or none is wanted."""
    if (window_from is None) != (window_to is None):
        return _("Give both times, or none.")
    if window_from is not None and window_from == window_to:
        return _("A window that ends when it begins is never open.")
    return ""


def part_of(position: int, rules: Rules) -> int:
    if position < rules.canary_count:
        return CANARIES
    return 1 + (position - rules.canary_count) // rules.part_size


def plans(wave: Wave) -> many.ManyPlans:
    """The plan of each of its machines as it is now, in the order of their turns."""
    known = Machine.objects.select_related("site", "type", "cluster", "bmc")
    by_number = known.in_bulk(wave.machines.values_list("machine", flat=True))
    return many.plans([by_number[number] for number in wave.machines.values_list("machine", flat=True)], wave.image)


def approve(wave: Wave, *, approved: str, by: str) -> Wave:
    """Let it begin, with exactly the list whose digest is `approved`; what cannot be installed now is skipped.

    Raises Refused when it was approved before, or the list is no longer the one that was shown.
    """
    with transaction.atomic():
        wave = rows.lock(wave.pk)
        _happen(wave, "approve")
        with override("en"):  # reasons are stored, and said in the reader's language as they are shown
            made = plans(wave)
        if facts := digests.changed(approved, made.parts):
            words = _("Changed since this list was shown: %(what)s. Look at it again.")
            raise Refused(words % {"what": ", ".join(facts)})
        if not made.possible:
            raise Refused(_("Nothing here can be installed."))
        for line in made.lines:
            _bind(wave.machines.get(machine=line.machine), line)
        rows.change(wave, "approve", by=by, approved_by=by, approved_at=now(), plan_digest=made.digest)
        rows.fill_canaries(wave)
    return wave


def pause(wave: Wave, *, by: str) -> None:
    """Begin nothing more until it goes on; what is under way ends by itself. Raises Refused."""
    _do(wave, "pause", by)


def resume(wave: Wave, *, by: str) -> None:
    """Go on with a paused wave. Raises Refused."""
    _do(wave, "resume", by)


def cancel(wave: Wave, *, by: str) -> None:
    """Begin nothing more, for good; what is under way ends by itself. Raises Refused when it has ended."""
    _do(wave, "cancel", by, ended_at=now())


def _bind(row: WaveMachine, line: many.Line) -> None:
    row.plan_digest = line.digest
    if not line.is_possible:
        row.skipped_at, row.skipped_why = now(), " ".join(line.problems)
    row.save(update_fields=["plan_digest", "skipped_at", "skipped_why"])


def _do(wave: Wave, event: str, by: str, **fields: Any) -> None:
    with transaction.atomic():
        wave = rows.lock(wave.pk)
        _happen(wave, event)
        rows.change(wave, event, by=by, **fields)


def _happen(wave: Wave, event: str) -> None:
    try:
        lifecycle.after(wave.state, event)
    except NotAllowed as exc:
        state = str(State(wave.state).label).lower()
        words = _("It cannot be done: the state of the wave is “%(state)s” now.")
        raise Refused(words % {"state": state}) from exc
