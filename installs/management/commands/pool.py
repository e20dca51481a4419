"""The levels of the pool at the command line."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs.allocation import pool
from installs.management.looking_up import image_named
from installs.models import PoolLevel
from machines.management.looking_up import asker, type_named


class Command(BaseCommand):
    help = "How many machines wait with their OS installed: look, set a level, remove one."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("status", help="levels, and what there is for each")
        setting = verbs.add_parser("set", help="keep so many machines of a type warm with an image")
        setting.add_argument("type")
        setting.add_argument("image")
        setting.add_argument("level", type=int)
        setting.add_argument("--at-once", type=int, default=2, metavar="N", help="installs at a time")
        removing = verbs.add_parser("remove", help="keep none warm by this level any more")
        removing.add_argument("type")
        removing.add_argument("image")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except pool.Refused as exc:
            raise CommandError(str(exc)) from exc

    def _status(self, options: dict[str, Any]) -> None:
        for found in pool.stocks(PoolLevel.objects.select_related("type", "image")):
            level = found.level
            counts = f"{len(found.current)} of {level.level} warm, {len(found.installing)} being installed"
            old = f", {len(found.outdated)} of an older state" if found.outdated else ""
            self.stdout.write(f"{level.type.name:<16} {level.image.name:<20} {counts}{old}. {level.problem}".rstrip())
            for each in found.warm:
                self.stdout.write(f"  {each.machine.name:<22} since {each.since:%Y-%m-%d %H:%M} UTC")
        if usual := pool.usual_time(pool.hand_overs()):
            self.stdout.write(f"hand-overs take {usual.total_seconds():.1f} s (median of the last ones)")

    def _set(self, options: dict[str, Any]) -> None:
        kind, image = type_named(options["type"]), image_named(options["image"])
        level = pool.set_level(kind, image, options["level"], at_once=options["at_once"], by=asker())
        self.stdout.write(f"{level.level} of {level} are kept warm")

    def _remove(self, options: dict[str, Any]) -> None:
        level = PoolLevel.objects.filter(type__name=options["type"], image__name=options["image"]).first()
        if level is None:
            raise CommandError("there is no such level; `pool status` lists them")
        pool.remove_level(level, by=asker())
        self.stdout.write(f"no more of {level} are kept warm; those that are stay so")
