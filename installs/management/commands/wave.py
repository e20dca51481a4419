"""Waves at the command line: approve one, see how it goes, stop it."""

from datetime import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_time
from django.utils.timezone import now

from installs import many
from installs.management.looking_up import image_named
from installs.models import Wave
from installs.waves import asking, words
from installs.waves.asking import Rules
from machines.management.looking_up import asker, machine_named


class Command(BaseCommand):
    help = "Install an image on many machines: canaries first, then a part at a time, no more after failures."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        start = verbs.add_parser("start", help="show the whole plan, and begin once it is confirmed")
        start.add_argument("image")
        start.add_argument("machines", nargs="+", metavar="machine", help="in the order of their turns")
        start.add_argument("--canaries", type=int, default=1, metavar="N")
        start.add_argument("--part", type=int, default=10, metavar="N", help="machines at a time after the canaries")
        start.add_argument("--stop-at", type=int, default=1, metavar="N", help="failed or cancelled installs")
        start.add_argument("--from", dest="window_from", type=_time, metavar="HH:MM", help="begin installs from")
        start.add_argument("--to", dest="window_to", type=_time, metavar="HH:MM", help="until; may be the next morning")
        start.add_argument("--confirm", metavar="DIGEST", help="of exactly this list, as it was printed; asks nothing")
        status = verbs.add_parser("status", help="how waves go")
        status.add_argument("number", type=int, nargs="?")
        for verb, help_text in {
            "pause": "begin nothing more for now", "resume": "go on", "stop": "begin nothing more, for good",
        }.items():  # fmt: skip
            verbs.add_parser(verb, help=help_text).add_argument("number", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except (asking.Refused, many.Refused) as exc:
            raise CommandError(str(exc)) from exc

    def _start(self, options: dict[str, Any]) -> None:
        image, machines = image_named(options["image"]), [machine_named(name) for name in options["machines"]]
        if len({machine.pk for machine in machines}) < len(machines):
            raise CommandError("a machine is named twice: each has one turn")
        rules = Rules(
            options["canaries"], options["part"], options["stop_at"], options["window_from"], options["window_to"]
        )
        made = many.plans(machines, image)
        self._show(made)
        if not made.possible:
            raise CommandError("nothing here can be installed")
        self._confirm(made, options["confirm"])
        wave = asking.propose(machines, image, rules, by=asker())
        try:
            asking.approve(wave, approved=made.digest, by=asker())
        except asking.Refused:
            asking.cancel(wave, by=asker())
            raise
        self.stdout.write(f"{wave} is approved: {', '.join(words.rules(wave))}; follow it with `wave status {wave.pk}`")

    def _show(self, made: many.ManyPlans) -> None:
        for line in made.lines:
            disk = line.plan.disk if line.plan else None
            wiped = f"will be wiped: {disk}, {disk.size_bytes or 0:,} bytes" if disk else "no disk"
            said = wiped if line.is_possible else f"skipped: {' '.join(line.problems)}"
            note = f" ({line.plan.typed_because})" if line.plan and line.is_used else ""
            self.stdout.write(f"{line.machine.name:<24} {said}{note}")
        self.stdout.write(f"list {made.digest}")

    def _confirm(self, made: many.ManyPlans, digest: str | None) -> None:
        if digest is not None:
            if digest != made.digest:
                raise CommandError("nothing was started: the list is not the one with this digest, look at it again")
            return
        names = " ".join(made.confirmation.names)
        try:
            count = input(f"Type the number of disks to wipe, {made.confirmation.count}: ")
            typed = input(f"In use, or with the data of others: {names}. Type the names: ") if names else ""
        except EOFError:
            raise CommandError("nothing was started: answer the questions, or use --confirm DIGEST") from None
        if count.strip() != str(made.confirmation.count) or set(typed.replace(",", " ").split()) != set(names.split()):
            raise CommandError("nothing was started")

    def _status(self, options: dict[str, Any]) -> None:
        if options["number"] is None:
            for wave in Wave.objects.select_related("image")[:20]:
                self.stdout.write(_line(wave))
            return
        wave = _wave(options["number"])
        self.stdout.write(_line(wave))
        for line in words.progress_of(wave, now=now()).lines:
            part = words.part_words(line.row.part)
            said = f"{line.install.install.state}: {line.install.words}" if line.install else line.row.skipped_why
            self.stdout.write(f"{line.row.machine.name:<24} {part:<10} {said or 'its turn is to come'}")

    def _pause(self, options: dict[str, Any]) -> None:
        asking.pause(_wave(options["number"]), by=asker())

    def _resume(self, options: dict[str, Any]) -> None:
        asking.resume(_wave(options["number"]), by=asker())

    def _stop(self, options: dict[str, Any]) -> None:
        asking.cancel(_wave(options["number"]), by=asker())


def _line(wave: Wave) -> str:
    progress = words.progress_of(wave, now=now())
    counts = f"{progress.installed} of {len(progress.lines)} installed, {progress.bad} not"
    return f"{wave.pk:>4}  {wave.image.name:<20} {wave.state:<9} {counts}. {words.waits_for(progress, now=now())}"


def _wave(number: int) -> Wave:
    wave = Wave.objects.select_related("image").filter(pk=number).first()
    if wave is None:
        raise CommandError(f"there is no wave {number}; `wave status` lists them")
    return wave


def _time(text: str) -> time:
    found = parse_time(text)
    if found is None:
        raise ValueError(text)
    return found
