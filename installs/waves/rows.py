"""Writes the rows of waves. Everything that changes one goes through here."""

from installs.models import CANARIES, Wave, WaveEvent, WaveMachine
from installs.waves import lifecycle
from machines import doorbell


def lock(wave_id: int) -> Wave:
    return Wave.objects.select_for_update(of=("self",)).select_related("image").get(pk=wave_id)


def change(wave: Wave, event: str, *, by: str = "", text: str = "", **fields: object) -> None:
    """The one place where a wave's state changes: through the table, on a locked row, with a trace."""
    fields["state"] = lifecycle.after(wave.state, event)
    for name, value in fields.items():
        setattr(wave, name, value)
    wave.save(update_fields=list(fields))
    note(wave, event, by=by, text=text)


def note(wave: Wave, name: str, *, by: str = "", text: str = "") -> WaveEvent:
    doorbell.tell_pages()
    return wave.events.create(name=name, by=by, text=text[:1000])


def fill_canaries(wave: Wave) -> None:
    """As many canaries as were approved, while there are machines: who is skipped among them has tried nothing out."""
    tried = wave.machines.filter(part=CANARIES, skipped_at=None).count()
    later: list[WaveMachine] = list(wave.machines.waiting().exclude(part=CANARIES)[: wave.canary_count - tried])
    for row in later:
        row.part = CANARIES
        row.save(update_fields=["part"])
