"""`manage.py provision`: the listener that machines talk to while they boot and install."""

import argparse
import signal
import sys
from types import FrameType
from typing import Any

import waitress
from django.core.management.base import BaseCommand

from dodaiweb import options
from dodaiweb.wsgi import provision_application

LARGEST_BODY_BYTES = 1 << 20  # facts of a machine with hundreds of disks are some 100 KB
LARGEST_HEADER_BYTES = 16 << 10
SILENT_SECONDS = 30  # a machine that stops in the middle of a request loses its place
MOST_CONNECTIONS = 2000


class Command(BaseCommand):
    help = "Serve boot answers, scripts and events to machines (a part of `up`; alone, for systemd)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        options.add_listener(parser, port=8001)
        parser.add_argument("--threads", type=int, default=8, help="requests answered at a time (8)")

    def handle(self, *args: str, **values: Any) -> None:
        signal.signal(signal.SIGTERM, _leave)
        # waitress takes a thread only when a request is there as a whole, so a slow machine costs a socket, no thread.
        waitress.serve(
            provision_application,
            host=values["host"],
            port=values["port"],
            threads=values["threads"],
            max_request_body_size=LARGEST_BODY_BYTES,
            max_request_header_size=LARGEST_HEADER_BYTES,
            channel_timeout=SILENT_SECONDS,
            cleanup_interval=10,
            connection_limit=MOST_CONNECTIONS,
            ident=None,
            clear_untrusted_proxy_headers=True,
            asyncore_use_poll=True,
            _quiet=True,
        )


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)  # waitress finishes the requests it has begun
