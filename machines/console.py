"""The serial console of a practice server, as the lab keeps it."""

from pathlib import Path

from django.conf import settings

from machines.models import Machine

TAIL_BYTES = 48 << 10


def console_tail(machine: Machine) -> str | None:
    """The end of what its serial port said; None when there is no console file."""
    if not machine.is_practice:
        return None
    path: Path = settings.DATA / "lab" / machine.name / "console.log"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
