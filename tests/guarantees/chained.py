"""Rounds in which a method fails and an operator goes on by hand: both attempts, and what is between, under faults."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from installs import lifecycle
from installs.models import Event, Image, Install
from machines.models import Machine
from tests.guarantees import killing
from tests.guarantees.killing import Operator, Round, patiently
from tests.guarantees.whole import Player

FAILED = {"cause": "script", "message": "for the test", "phase": "fetch"}


class Failing(Player):
    """Its ramdisk fails before it asks for anything."""

    def _play(self) -> None:
        kernel = self._kernel()
        self._await("it to be switched on", lambda: any(each.what == "on" for each in self.told()))
        self._await("the ramdisk", kernel.boot)
        kernel.say("install", {})
        answer = kernel.client.post("/event/failed", json.dumps(FAILED), "application/json", headers=kernel._headers())
        assert answer.status_code in (200, 410), answer.status_code  # 410: heard, but the first answer got lost


class GivingUp(Failing):
    """After it has failed somebody does it by hand, with their phone."""

    operator: Operator
    since: datetime

    def _play(self) -> None:
        super()._play()
        self._await("the fallback", lambda: self._said("queue"))
        self._await("the call", lambda: self._said("answer"))
        self._press("take", "taken")
        self._press("done", "installed")
        self.story.is_up = True

    def _press(self, verb: str, event: str) -> None:
        """Until it is there: an answer may be lost, and a second press is told that it was done before."""
        mine = Install.objects.filter(machine=self.machine.pk, method="manual", queued_at__gte=self.since)
        number = patiently(lambda: mine.values_list("pk", flat=True).get())
        self._await(verb, lambda: self.operator.press(f"/installs/{number}/task/{verb}/") and self._said(event))

    def _said(self, name: str) -> bool:
        mine = Event.objects.filter(install__machine=self.machine.pk, install__method="manual", name=name)
        return bool(patiently(lambda: mine.filter(install__queued_at__gte=self.since).exists()))


@dataclass
class Chain(Round):
    """Each machine's install fails and goes on by hand."""

    def _player(self, machine: Machine, image: Image) -> Player:
        player = GivingUp(self.site, machine)
        player.operator, player.since = self.operator, datetime.fromtimestamp(self.began, UTC)
        return player

    def _check(self) -> None:
        for first, player in zip(self.installs, self.players, strict=True):
            assert player.story.error is None, f"{player.name}: {player.story.error!r}"
            attempts = list(Install.objects.filter(machine=first.machine, pk__gte=first.pk).order_by("pk"))
            assert [each.method for each in attempts] == ["file-tree", "manual"], f"{player.name}: {attempts}"
            first, second = attempts
            assert (first.state, first.cause, second.retry_of, second.fallback) == ("failed", "script", first, 1)
            assert second.state == lifecycle.State.INSTALLED and second.confirmed_by, f"{player.name}: {second.error}"
            assert first.granted_at is None and second.granted_at is None
            for each in attempts:
                killing._check_story(each)
            assert second.events.filter(kind=Event.Kind.MACHINE).count() == 2, "each word of the operator once"
            machine = Machine.objects.get(pk=player.machine.pk)
            assert (machine.image_name, machine.handled_by) == (first.image.name, "")
            self._check_recovery(second)

    def _is_over(self) -> bool:
        machines = [machine.pk for machine in self.machines]
        live = patiently(lambda: Install.objects.live().filter(machine__in=machines).exists())
        return super()._is_over() and not live
