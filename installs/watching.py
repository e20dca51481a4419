"""Follows an install from outside, for commands."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from installs.models import Install

LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Line:
    kind: str
    name: str
    text: str


def follow(install_id: int) -> Iterator[Line]:
    """What happens to an install, as it happens, until it has ended. It ends: every live state has a deadline."""
    last_event, last_progress = 0, ("", 0)
    while True:
        install = Install.objects.get(pk=install_id)  # before its events: what ended it is then among them
        for event in install.events.filter(pk__gt=last_event):
            last_event = event.pk
            yield Line(event.kind, event.name, event.text)
        progress = (install.phase, install.done_bytes)
        if install.is_live and progress != last_progress and install.total_bytes:
            last_progress = progress
            rate = f", {install.bytes_per_second / 1e6:.1f} MB/s" if install.bytes_per_second else ""
            yield Line(
                "progress", install.phase, f"{install.done_bytes / 1e6:.1f} of {install.total_bytes / 1e6:.1f} MB{rate}"
            )
        if not install.is_live:
            return
        time.sleep(LOOK_EVERY_SECONDS)
