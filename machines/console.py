"""The serial console of a practice server, as the lab keeps it."""

from pathlib import Path

from django.conf import settings

from machines.models import Machine

TAIL_BYTES = 48 << 10
WHOLE_BYTES = 8 << 20


def console_tail(machine: Machine, *, limit_bytes: int = TAIL_BYTES) -> str | None:
    """The end of what its serial port said; None when there is no console file."""
    if not machine.is_practice:
        return None
    path: Path = settings.DATA / "lab" / machine.name / "console.log"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit_bytes))
            return file.read(limit_bytes).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
