"""Keeps the files of translations, for developers."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Collect the words of pages and Python, and compile their translations. Needs requirements-dev.txt."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--missing", action="store_true", help="print what has no translation yet")

    def handle(self, *args: Any, missing: bool, **options: Any) -> None:
        try:
            from dodaiweb.testing import translation  # Babel is no dependency of what runs
        except ImportError as exc:
            raise CommandError(f"{exc.name} is missing: pip install -r requirements-dev.txt") from exc
        for language in translation.LANGUAGES:
            catalog = translation.update(language)
            lacking = translation.untranslated(catalog)
            self.stdout.write(f"{language}: {len(catalog)} messages, {len(lacking)} without a translation")
            for message in lacking if missing else []:
                self.stdout.write(f"  {message}")
