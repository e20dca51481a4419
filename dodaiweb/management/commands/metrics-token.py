"""`manage.py metrics-token`: what Prometheus shows to read /metrics."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from dodaiweb import keys


class Command(BaseCommand):
    help = "Print the token that opens /metrics, and make it at the first time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--new", action="store_true", help="make another; the old one counts no more")

    def handle(self, *args: Any, **options: Any) -> None:
        token = "" if options["new"] else keys.metrics_token(settings.DATA)
        self.stdout.write(token or keys.new_metrics_token(settings.DATA))
