"""Asks for machines at the command line, and follows what becomes of them."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs.allocation import asking, words
from installs.allocation.asking import Asked, Proposal
from installs.allocation.lifecycle import LIVE, State
from installs.management.looking_up import image_named
from installs.models import Allocation
from machines.management.looking_up import asker, cluster_named, type_named

LOOK_EVERY_SECONDS = 0.5


class Command(BaseCommand):
    help = "Get machines of a type with an image into a cluster: warm ones are handed over, free ones are installed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("type", help="of the machines")
        parser.add_argument("image")
        parser.add_argument("cluster")
        parser.add_argument("count", type=int, nargs="?", default=1)
        parser.add_argument("--spares", type=int, default=0, metavar="N", help="kept in reserve until all are ready")
        parser.add_argument("--all-or-nothing", action="store_true", help="give all back where one cannot be had")
        parser.add_argument("--owner", default="", help="whom they are for; also gets what is reserved for that name")
        parser.add_argument("--why-not", action="store_true", help="say why other machines of the type are not taken")
        parser.add_argument("--confirm", metavar="DIGEST", help="of exactly this plan, as it was printed; asks nothing")
        parser.add_argument("--wait", action="store_true", help="until all are ready, or it has failed")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = Asked(
            type_named(options["type"]), image_named(options["image"]), cluster_named(options["cluster"]),
            count=options["count"], spares=options["spares"], all_or_nothing=options["all_or_nothing"],
            owner=options["owner"],
        )  # fmt: skip
        proposal = asking.propose(asked)
        self._show(proposal, why_not=options["why_not"])
        if proposal.problems:
            raise CommandError(" ".join(proposal.problems))
        self._confirm(proposal, options["confirm"])
        try:
            allocation = asking.ask(asked, by=asker(), approved=proposal.digest)
        except asking.Refused as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"{allocation} has begun")
        if options["wait"]:
            self._wait(allocation)

    def _show(self, proposal: Proposal, *, why_not: bool) -> None:
        placed = proposal.placement
        for name in placed.warm:
            self.stdout.write(f"{name:<24} handed over, nothing is wiped")
        for name in placed.cold:
            disk = proposal.machines[name].disks.filter(is_root=True).first()
            self.stdout.write(f"{name:<24} installed; will be wiped: {disk}")
        for name in placed.spares:
            self.stdout.write(f"{name:<24} spare")
        if placed.missing:
            self.stdout.write(f"{placed.missing} of {proposal.asked.count} cannot be had now")
        for name, refusal in sorted(placed.refused.items()) if why_not or placed.missing else ():
            self.stdout.write(f"{name:<24} not taken: {words.why(refusal)}")
        self.stdout.write(f"plan {proposal.digest}")

    def _confirm(self, proposal: Proposal, digest: str | None) -> None:
        if digest is not None:
            if digest != proposal.digest:
                raise CommandError("nothing was started: the plan is not the one with this digest, look at it again")
            return
        count = len(proposal.placement.cold) + len(proposal.placement.spares)
        try:
            typed = input(f"Type the number of machines that may be wiped, {count}: ")
        except EOFError:
            raise CommandError("nothing was started: answer the question, or use --confirm DIGEST") from None
        if typed.strip() != str(count):
            raise CommandError("nothing was started")

    def _wait(self, allocation: Allocation) -> None:
        """It ends: every attempt has a deadline."""
        said: dict[str, str] = {}
        while True:
            allocation.refresh_from_db()  # before its machines: what ended it is then among them
            for part in allocation.machines.select_related("machine", "install"):
                now = f"{part.get_state_display()} {part.install or ''} {part.why}".strip()
                if said.get(part.machine.name) != now:
                    said[part.machine.name] = now
                    self.stdout.write(f"{part.machine.name:<24} {now}")
            if allocation.state not in LIVE:
                break
            time.sleep(LOOK_EVERY_SECONDS)
        if allocation.state != State.DONE:
            raise CommandError(f"{allocation} is {allocation.state}. {allocation.why_ended}")
        self.stdout.write(f"{allocation} is done")
