"""Runs something again and again until the process is told to stop."""

import logging
import signal
import threading
from collections.abc import Callable

from django.db import DatabaseError, close_old_connections

logger = logging.getLogger(__name__)


def until_told(turn: Callable[[], object], *, every_seconds: float) -> None:
    """Call `turn` every so many seconds until SIGTERM or SIGINT. A lost database is waited out."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        close_old_connections()
        try:
            turn()
        except DatabaseError as exc:
            logger.error("the database is away (%s), trying again", type(exc).__name__)
        stop.wait(every_seconds)
