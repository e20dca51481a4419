"""What workers run. A job carries nothing: it looks for what is due."""

from django.db import close_old_connections

from installs import flow


def look() -> None:
    """Begin what is queued and do one step of one due install; what it leads to rings again."""
    close_old_connections()
    flow.begin_next()
    flow.run_due()
