"""`manage.py provision`: the listener that machines talk to while they boot and install."""

import argparse
import signal
import sys
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from dodaiweb import options, provisioning
from dodaiweb.wsgi import provision_application


class Command(BaseCommand):
    help = "Serve boot answers, scripts and events to machines (a part of `up`; alone, for systemd)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        options.add_listener(parser, port=8001)
        parser.add_argument(
            "--threads", type=int, default=provisioning.THREADS[connection.vendor],
            help="requests answered at a time (%(default)s on this database)",
        )  # fmt: skip

    def handle(self, *args: str, **values: Any) -> None:
        signal.signal(signal.SIGTERM, _leave)
        provisioning.serve(provision_application, host=values["host"], port=values["port"], threads=values["threads"])


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)  # waitress finishes the requests it has begun
