"""Machines whose disks are erased: by somebody's word or because the time to undo is over; not all of them honestly."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.timezone import now

from installs.erasing import records
from installs.models import Erasure, Install
from machines.models import Disk, Interface, Machine, Switch, Vlan
from machines.models import Site as Place
from tests import erased, installing
from tests.guarantees import killing, played
from tests.guarantees.killing import Operator, patiently
from tests.guarantees.operated import BOOTING, QUARANTINE, Network
from tests.guarantees.whole import Player, Site

SWITCHED = ["off", "boot from network", "on", "off"]
SECOND_DISK = {"path": "/dev/nvme0n1", "size_bytes": 200 * installing.GIB}


class Erasing(Player):
    """Erases all of its disks, and reports it as it is."""

    lies: ClassVar[dict[str, Any]] = {}  # of its first disk
    cause = ""  # why it has failed in the end
    proven: tuple[bool, ...] = (True, True)  # what its records say, one of each disk

    def _play(self) -> None:
        first, second = self._booted()
        first.say("install", {})
        writer, _ = self._contest(first, second)
        for phase in ("mark", "erase"):
            writer.say("progress", {"phase": phase})
        self._report(writer)

    def _report(self, writer: installing.Server) -> None:
        plan = patiently(lambda: self._mine().values_list("plan", flat=True).latest("pk"))
        report = erased.honest(plan, **self.lies)
        said = writer.client.post("/event/deleted", json.dumps(report), "application/json", headers=writer._headers())
        assert said.status_code in (200, 410), said.content  # 410: heard, but the first answer got lost

    def _mine(self) -> QuerySet[Install]:
        return Install.objects.filter(machine=self.machine.pk, method="erase")


class Lying(Erasing):
    """One of its drives said that it erased, and still holds a mark."""

    lies: ClassVar[dict[str, Any]] = {"kept": 1}
    cause, proven = "not-erased", (False, True)


class CutOff(Erasing):
    """Loses its power in the middle: the boot that was granted is gone, and no other one gets the grant."""

    cause, proven = "power-lost", ()

    def _report(self, writer: installing.Server) -> None:
        waits = self._mine().filter(awaited="deleted")  # who still switches it on would switch it on again
        self._await("Dodai to wait", lambda: patiently(waits.exists))
        played._note(self.path, what="off", pid=0)


RAMDISKS: tuple[tuple[type[Erasing], bool], ...] = ((Erasing, True), (Erasing, False), (Lying, True), (CutOff, False))
"""What a machine does, and whether somebody asks for it; else its time to undo is over."""


@dataclass
class Erasures:
    """One machine of each of RAMDISKS is erased."""

    site: Site
    operator: Operator
    network: Network
    machines: Sequence[Machine]
    players: list[Player] = field(default_factory=list)

    def begin(self, began: float) -> None:
        """The word is given; `began` is in Unix time."""
        self.since = datetime.fromtimestamp(began, UTC)
        for number, machine in enumerate(self.machines, start=40):
            patiently(partial(_release, self.network, machine, number))
            played._note(self.site.bmcs / machine.name, what="on", pid=0)
        self.players = [kind(self.site, machine) for machine, (kind, _) in zip(self.machines, RAMDISKS, strict=True)]
        for player, (_, is_asked_for) in zip(self.players, RAMDISKS, strict=True):
            player.start()
            if is_asked_for:
                answer = self.operator.press(f"/machines/{player.name}/erase/", {"typed": player.name})
                assert answer == 302, f"{player.name}: {answer}"
            else:
                machine = Machine.objects.filter(pk=player.machine.pk)
                patiently(lambda machine=machine: machine.update(erase_at=now()))

    def installs(self) -> list[Install]:
        mine = Install.objects.filter(machine__in=self._machines(), method="erase")
        return patiently(lambda: list(mine.filter(queued_at__gte=self.since).order_by("pk")))

    def is_over(self) -> bool:
        """Raises AssertionError for a machine that is free before a report was believed."""
        for machine in patiently(lambda: list(self._machines().filter(state="free"))):
            believed = Erasure.objects.filter(machine=machine.pk, install__queued_at__gte=self.since, is_proven=True)
            assert patiently(believed.count) >= 2, f"{machine} is free, and nothing proves that it is erased"
        made = self.installs()
        return len(made) >= len(self.machines) and not any(install.is_live for install in made)

    def _machines(self) -> QuerySet[Machine]:
        return Machine.objects.filter(name__in=[machine.name for machine in self.machines])

    def check(self) -> None:
        made = {install.machine_id: install for install in self.installs()}
        assert len(self.installs()) == len(made) == len(self.machines), "an erasing began twice"
        for player in self.players:
            assert isinstance(player, Erasing) and player.story.error is None, f"{player.name}: {player.story.error!r}"
            install = made[player.machine.pk]
            _check_machine(install, player)
            _check_records(install, player)
            _check_power(player)
            killing._check_story(install)
            assert self.network.where(player.machine) == {QUARANTINE}


def _release(network: Network, machine: Machine, number: int) -> None:
    """Somebody had it, and it is released: its only card is parked, and it went on again by itself."""
    tor, booting = Switch.objects.get(name="tor"), Vlan.objects.get_or_create(vid=BOOTING)[0]
    Place.objects.filter(pk=machine.site_id).update(provision_vlan=booting)
    Interface.objects.filter(machine=machine).update(switch=tor, switch_port=f"p{number}")
    Disk.objects.get_or_create(machine=machine, serial=f"NVME{number}", defaults=SECOND_DISK)
    Machine.objects.filter(pk=machine.pk).update(
        state="releasing", cluster=network.here, owner="ann", image_name="debian", erase_at=None, unerased=False,
        broken_by="", broken_why="",
    )  # fmt: skip
    network.put(QUARANTINE, f"p{number}")


def _check_machine(install: Install, player: Erasing) -> None:
    machine, is_erased = Machine.objects.get(pk=player.machine.pk), not player.cause
    assert (install.state, install.cause) == ("installed" if is_erased else "failed", player.cause), install.error
    assert (machine.state, machine.unerased) == (("free", False) if is_erased else ("broken", True)), install.error
    assert (machine.handled_by, machine.erase_at) == ("", None)
    whose = (machine.owner, machine.image_name, machine.cluster)
    assert whose == (("", "", None) if is_erased else ("ann", "debian", machine.cluster))
    assert machine.broken_why == ("" if is_erased else f"Not erased: {install.error}")
    assert player.story.granted == {install.granted_boot_id}, f"{player.name} was granted to {player.story.granted}"


def _check_records(install: Install, player: Erasing) -> None:
    """One of each disk, however often the report came; none where there was none."""
    kept = Erasure.objects.filter(install=install).order_by("serial")
    assert tuple(record.is_proven for record in kept) == player.proven, f"{player.name}: {list(kept)}"
    assert all(records.is_genuine(record) for record in kept)


def _check_power(player: Player) -> None:
    """It was told things in the order of the steps, maybe twice each; and it is off."""
    told = [what for what, _ in groupby(each.what for each in player.told())]
    assert told == SWITCHED, f"{player.name}: {told}"
