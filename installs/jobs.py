"""What workers run. A job carries nothing: it looks for what is due."""

from django.db import close_old_connections

from installs import flow, reach
from installs.notices import outbox


def look() -> None:
    """Begin what is queued and do one step of one due install; what it leads to rings again."""
    close_old_connections()
    flow.begin_next()
    flow.run_due()


def notify() -> None:
    """Send one due notice; if more are due, it has rung again."""
    close_old_connections()
    outbox.deliver_due()


def check_reach() -> None:
    """Look whether the URLs that machines are told lead here."""
    close_old_connections()
    reach.check()
