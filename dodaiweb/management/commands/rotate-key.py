"""`manage.py rotate-key`: another key for the passwords and secrets in the database."""

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dodaiweb import keys, rotation
from machines.management.keyed import KeyedCommand


class Command(KeyedCommand):
    help = (
        "Seal stored passwords and secrets with a new key, while everything runs. Run it again until the old is gone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        step = parser.add_mutually_exclusive_group()
        step.add_argument("--prepare", action="store_true", help="only make the key, to be copied to other hosts first")
        step.add_argument(
            "--drop-now", action="store_true", help="Dodai is stopped on all hosts: the old key need not be kept"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["prepare"]:
                rotation.prepare()
                self.stdout.write(f"{keys.NEXT} is made. Copy keys/ to all hosts, then run this without --prepare.")
                return
            self._tell(rotation.rotate(patience=timedelta() if options["drop_now"] else rotation.PATIENCE))
        except (rotation.Unfinished, keys.KeyProblem) as exc:
            raise CommandError(str(exc)) from exc
        except OSError as exc:
            raise CommandError(f"{exc.filename}: {exc.strerror}. Every key has its file; run this again.") from exc

    def _tell(self, progress: rotation.Progress) -> None:
        self.stdout.write(f"{progress.sealed_again} values were sealed again; field_key is the new key.")
        if progress.dropped_at is None:
            self.stdout.write("The old key is gone. Copy keys/ to your backup, and to other hosts.")
            return
        clock = datetime.fromtimestamp(progress.dropped_at).astimezone()
        self.stdout.write(
            f"{keys.OLD} stays for what is being stored just now. Copy keys/ to other hosts, then run this again after "
            f"{clock:%H:%M:%S}: it drops the old key."
        )
