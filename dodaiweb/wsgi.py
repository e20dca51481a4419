"""The provisioning listener as a WSGI application: its own URL conf, no sessions, no middleware."""

import logging
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

from dodaiweb.floods import FloodGate


def provision_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _handler()(environ, start_response)


@cache
def _handler() -> FloodGate:
    """Made once, in the process that serves this listener and nothing else."""
    settings.ROOT_URLCONF = "dodaiweb.provision_urls"
    settings.MIDDLEWARE = settings.PROVISION_MIDDLEWARE
    # Every 404 would be a line, with what a stranger wrote in it; 5xx are errors and stay.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    settings.ALLOWED_HOSTS = ["*"]  # machines come by any address; no answer depends on the Host header
    return FloodGate(WSGIHandler())
