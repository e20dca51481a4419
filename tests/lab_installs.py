"""Installs of the lab's servers whose worker and watchdog is the test itself."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import waitress
from django.core.handlers.wsgi import WSGIHandler

from installs import flow, sweep
from installs.models import Install
from tests.practice_lab import RunningLab, dump


@contextmanager
def provisioning() -> Iterator[int]:
    """The real provisioning listener, on the port that comes."""
    server = waitress.create_server(WSGIHandler(), host="127.0.0.1", port=0, threads=4, asyncore_use_poll=True)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.close()
        thread.join(5)


def work(install: Install, lab: RunningLab, name: str, event: str, *, seconds: float) -> None:
    """Be its worker and watchdog, until its machine has said `event`."""
    end = time.monotonic() + seconds
    while not install.events.filter(name=event).exists():
        flow.begin_next()
        flow.run_due()
        sweep.sweep()
        install.refresh_from_db()
        assert install.state not in ("failed", "stopping"), (
            f"{install.error}\n{install.error_detail}\n{dump(lab, name)}"
        )
        assert time.monotonic() < end, f"no {event} in {seconds} s\n{dump(lab, name)}"
        time.sleep(0.3)
