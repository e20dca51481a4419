"""`manage.py images`: images and ramdisks to machines, apart from all else so that downloads delay nothing."""

import argparse
import os
from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand

from dodaiweb import images_app, options

MOST_DOWNLOADS = 512  # more get a 503, which the ramdisk tries again
NICENESS = 10  # where processors are scarce, events and pages come before downloads


class Command(BaseCommand):
    help = "Serve images and ramdisks (a part of `up`; alone, for systemd)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        options.add_listener(parser, port=8002)

    def handle(self, *args: str, **values: Any) -> None:
        os.nice(NICENESS)
        uvicorn.run(
            images_app.application(Path(settings.DATA)),
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
            limit_concurrency=MOST_DOWNLOADS,
            timeout_graceful_shutdown=1,
        )
