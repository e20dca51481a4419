"""The provisioning listener as a WSGI application: its own URL conf, no sessions, no middleware."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler


def provision_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _handler()(environ, start_response)


@cache
def _handler() -> WSGIHandler:
    """Made once, in the process that serves this listener and nothing else."""
    settings.ROOT_URLCONF = "dodaiweb.provision_urls"
    settings.MIDDLEWARE = settings.PROVISION_MIDDLEWARE
    settings.ALLOWED_HOSTS = ["*"]  # machines come by any address; no answer depends on the Host header
    return WSGIHandler()
