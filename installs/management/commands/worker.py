"""Carries out steps of installs and power commands."""

from typing import Any

import django_rq
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from machines.management.keyed import KeyedCommand


class Command(KeyedCommand):
    help = "Carry out steps of installs and power commands. Runs until stopped; start as many as you like."

    def handle(self, *args: Any, **options: Any) -> None:
        # No fork a job: what must be isolated, a call to a BMC, has a process of its own already (power/child.py).
        queue = django_rq.get_queue()
        worker = SimpleWorker([queue], connection=queue.connection, serializer=JSONSerializer)
        worker.work(logging_level="WARNING")
