"""A command that reads or writes secrets."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from dodaiweb import keys
from machines import key_proof

CONFIGURATION_ERROR = 78  # EX_CONFIG of sysexits.h: a supervisor should not try again


class KeyedCommand(BaseCommand):
    """Runs only with the key of this database: another one could read nothing, and what it writes nobody else could."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            key_proof.check()
        except keys.KeyProblem as problem:
            self.stderr.write(f"dodai: {problem}")
            sys.exit(CONFIGURATION_ERROR)
        return super().execute(*args, **options)
