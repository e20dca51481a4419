"""`manage.py web`: the pages and their event stream, in one process."""

import argparse
from typing import Any

import uvicorn
from django.core.management.base import BaseCommand

from dodaiweb import options

GOODBYE_SECONDS = 3  # event streams never end by themselves


class Command(BaseCommand):
    help = "Serve the pages (a part of `up`; alone, for systemd)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        options.add_listener(parser, port=8000)

    def handle(self, *args: str, **values: Any) -> None:
        uvicorn.run(
            "dodaiweb.asgi:application",
            host=values["host"],
            port=values["port"],
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
        )
