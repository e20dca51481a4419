"""`manage.py doctor`: looks at everything around Dodai and says what to put right."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from dodaiweb import doctor
from dodaiweb.doctor import words
from dodaiweb.doctor.checks import CHECKS


class Command(BaseCommand):
    help = "Check DHCP, ports, clock, disk, keys, database, workers and BMCs. Ends with 1 if one must be put right."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="a list of findings, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = [asdict(finding) for finding in doctor.run(CHECKS)]
        if options["json"]:
            self._tell_programs(findings)
        else:
            self._tell(findings)
        if words.has_errors(findings):
            sys.exit(1)

    def _tell(self, findings: list[dict[str, Any]]) -> None:
        for sentence in words.sentences(findings):
            self.stdout.write(f"{sentence.label:<18} {sentence.what}")
            for line in filter(None, (sentence.why, sentence.todo)):
                self.stdout.write(f"{'':<18} {line}")

    def _tell_programs(self, findings: list[dict[str, Any]]) -> None:
        told = [{**finding, **asdict(sentence)} for finding in findings for sentence in words.sentences([finding])]
        self.stdout.write(json.dumps(told, indent=1, default=str))
