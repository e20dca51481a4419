"""Rounds in which machines are allocated while others are erased, under faults."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from django.db.models import QuerySet

from installs.allocation import lifecycle
from installs.allocation.lifecycle import Part
from installs.models import Allocation, Install
from machines.models import Cluster, Machine, MachineType
from tests.guarantees import killing
from tests.guarantees.chained import Failing
from tests.guarantees.killing import ROUND_SECONDS, Operator, ordered, patiently
from tests.guarantees.operated import Operated
from tests.guarantees.whole import Player, Site, wait_until

COUNT, SPARES, OWNER = 2, 1, "ada"


class Undertaking(Protocol):
    """What is done with some machines while other things are done with others."""

    players: list[Player]

    def begin(self, began: float) -> None: ...

    def installs(self) -> list[Install]: ...

    def is_over(self) -> bool: ...

    def check(self) -> None: ...


@dataclass
class Together(Operated):
    """All of it at the same time."""

    undertakings: Sequence[Undertaking] = field(kw_only=True)

    def _play(self) -> None:
        for each in self.undertakings:
            each.begin(self.began)
            self.players += each.players
        wait_until(self._is_over, seconds=ROUND_SECONDS, what="all to end and all faults to be over")
        for player in self.players:
            player.join(60)

    def _is_over(self) -> bool:
        self.installs = [install for each in self.undertakings for install in each.installs()]
        are_over = [each.is_over() for each in self.undertakings]
        return super()._is_over() and all(are_over)

    def _check(self) -> None:
        for each in self.undertakings:
            each.check()
        self._check_ports()
        assert not Machine.objects.exclude(handled_by="").exists(), "a machine is still in somebody's hands"
        self._check_recoveries()


@dataclass
class Allotment:
    """Somebody asks for COUNT machines and SPARES; the first of them fails, and a spare takes its place."""

    site: Site
    operator: Operator
    machines: Sequence[Machine]
    cluster: Cluster
    players: list[Player] = field(default_factory=list)

    def begin(self, began: float) -> None:
        self.since = datetime.fromtimestamp(began, UTC)
        kind = patiently(lambda: MachineType.objects.get_or_create(name="allotted")[0])
        free = {"state": "free", "cluster": None, "owner": "", "image_name": "", "type": kind}
        patiently(lambda: self._machines().update(**free))
        plays = {machine.pk: (Failing(self.site, machine), Player(self.site, machine)) for machine in self.machines}
        words = {"type": kind.pk, "image": self.operator.image.pk, "cluster": self.cluster.pk, "count": COUNT,
                 "spares": SPARES, "owner": OWNER}  # fmt: skip
        (self.allocation,) = ordered(
            lambda: list(Allocation.objects.filter(created_at__gte=self.since)),
            lambda: self.operator.ask("/allocations/new/", {name: str(word) for name, word in words.items()}),
        )
        first, *others = patiently(lambda: list(self.allocation.machines.values_list("machine", flat=True)))
        self.players = [plays[first][0], *(plays[each][1] for each in others)]
        for player in self.players:
            player.start()

    def installs(self) -> list[Install]:
        mine = Install.objects.filter(machine__in=self._machines())
        return patiently(lambda: list(mine.filter(queued_at__gte=self.since).order_by("pk")))

    def is_over(self) -> bool:
        """Raises AssertionError for a machine of somebody else."""
        owners = patiently(lambda: set(self._machines().values_list("owner", flat=True)))
        assert owners <= {"", OWNER}, owners
        state = patiently(lambda: Allocation.objects.values_list("state", flat=True).get(pk=self.allocation.pk))
        return state not in lifecycle.LIVE and not any(install.is_live for install in self.installs())

    def _machines(self) -> QuerySet[Machine]:
        return Machine.objects.filter(name__in=[machine.name for machine in self.machines])

    def check(self) -> None:
        self.allocation.refresh_from_db()
        assert self.allocation.state == lifecycle.State.DONE, self.allocation.why_ended
        parts = [part.state for part in self.allocation.machines.all()]
        assert parts == [Part.FAILED, Part.READY, Part.READY], f"{parts} {self.allocation.why_ended}"
        made = {install.machine_id: install for install in self.installs()}
        assert len(self.installs()) == len(made) == len(self.machines), "a machine was installed twice"
        for part, player in zip(self.allocation.machines.all(), self.players, strict=True):
            assert player.story.error is None, f"{player.name}: {player.story.error!r}"
            assert part.install == made[part.machine_id]
            self._check_one(player, part.install, is_ready=part.state == Part.READY)

    def _check_one(self, player: Player, install: Install, *, is_ready: bool) -> None:
        machine = Machine.objects.get(pk=install.machine_id)
        found = (install.state, machine.state, machine.owner, machine.cluster, machine.image_name)
        killing._check_story(install)
        if not is_ready:
            assert found == ("failed", "free", "", None, ""), found
            assert not player.story.granted and install.granted_at is None
            return
        assert found == ("installed", "in_use", OWNER, self.cluster, self.operator.image.name), found
        assert player.story.is_up and player.story.granted == {install.granted_boot_id}
        killing._check_power(player)
