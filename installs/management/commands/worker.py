"""Carries out steps of installs and power commands."""

from typing import Any

import django_rq
import redis
from django.core.management import CommandError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from machines.management.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Carry out steps of installs and power commands. Runs until stopped; start as many as you like."

    def handle(self, *args: Any, **options: Any) -> None:
        # No fork a job: what must be isolated, a call to a BMC, has a process of its own already (power/child.py).
        queue = django_rq.get_queue()
        worker = SimpleWorker([queue], connection=queue.connection, serializer=JSONSerializer)
        try:
            worker.work(logging_level="WARNING")
        except redis.ConnectionError as exc:  # whoever started this starts it again; the watchdog works meanwhile
            raise CommandError(f"no Valkey or Redis ({type(exc).__name__})") from exc
