"""`manage.py unlock USER`: let somebody log in again who typed too many wrong passwords."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dodaiweb.views import login


class Command(BaseCommand):
    help = "Forget the failed logins of a user, so that they can log in again at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user")

    def handle(self, *args: Any, **options: Any) -> None:
        if not login.unlock(options["user"]):
            raise CommandError(f"{options['user']} has no failed logins: nothing was locked")
        self.stdout.write(f"{options['user']} can log in again")
