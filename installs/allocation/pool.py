"""The pool's levels: what people decide, and what there is. Called by pages and commands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db import transaction
from django.utils.translation import gettext as _

from installs.allocation.images import is_warm, newest_installs
from installs.lifecycle import State as InstallState
from installs.models import Image, Install, PoolLevel
from installs.models.allocations import MOST
from machines import doorbell
from machines.lifecycle import State
from machines.models import Machine, MachineType

HAND_OVERS_SHOWN = 10


class Refused(Exception):
    """It cannot be so. The message says why and what to do."""


@dataclass(frozen=True)
class Warm:
    """A machine that waits for an owner. `is_current` is False once its image is another one, or its key is gone."""

    machine: Machine
    install: Install
    is_current: bool

    @property
    def since(self) -> datetime | None:
        return self.install.ended_at


@dataclass(frozen=True)
class Stock:
    """What there is for a level. `installing` are attempts that go on."""

    level: PoolLevel
    warm: Sequence[Warm] = ()
    installing: Sequence[Install] = ()

    @property
    def current(self) -> list[Warm]:
        return [each for each in self.warm if each.is_current]

    @property
    def outdated(self) -> list[Warm]:
        return [each for each in self.warm if not each.is_current]

    @property
    def missing(self) -> int:
        """How many installs have yet to begin."""
        return max(0, self.level.level - len(self.current) - len(self.installing))


def set_level(kind: MachineType, image: Image, level: int, *, at_once: int = 2, by: str) -> PoolLevel:
    """Keep so many machines of a type warm with an image; as many installs as `at_once` at a time. Raises Refused."""
    if not 0 <= level <= MOST or not 1 <= at_once <= MOST:
        raise Refused(_("Choose a level from 0 to %(most)s, and from 1 install at once.") % {"most": MOST})
    if image.retired_at:
        raise Refused(_("The image %(image)s is retired: choose another one.") % {"image": image.name})
    values = {"level": level, "at_once": at_once, "set_by": by, "pause_until": None, "problem": ""}
    row, _is_new = PoolLevel.objects.update_or_create(type=kind, image=image, defaults=values)
    doorbell.tell_pages()
    return row


def remove_level(level: PoolLevel, *, by: str) -> None:
    """Keep none warm by it any more. Machines that are warm stay so until they are handed over or installed anew."""
    with transaction.atomic():
        PoolLevel.objects.filter(pk=level.pk).delete()
    doorbell.tell_pages()


def stocks(levels: Iterable[PoolLevel]) -> list[Stock]:
    """What there is for each of these. Three queries."""
    known = list(levels)
    kinds = {level.type_id for level in known}
    machines = Machine.objects.filter(type__in=kinds, state=State.WARM).select_related("site").order_by("name")
    found = list(machines.defer("facts", "notes"))
    newest = newest_installs(machine.pk for machine in found)
    going_on = Install.objects.live().filter(is_for_pool=True, machine__type__in=kinds).select_related("machine")
    installing = list(going_on.defer("error_detail", "machine__facts"))
    return [
        Stock(
            level,
            [_warm(machine, newest[machine.pk], level) for machine in found if _is_of(machine, newest, level)],
            [each for each in installing if (each.machine.type_id, each.image_id) == (level.type_id, level.image_id)],
        )
        for level in known
    ]


def stock(level: PoolLevel) -> Stock:
    return stocks([level])[0]


def hand_overs() -> list[Install]:
    """The last that were done, the newest first."""
    done = Install.objects.filter(method="hand-over", state=InstallState.INSTALLED).select_related("machine__type")
    return list(done.defer("error_detail", "machine__facts").order_by("-pk")[:HAND_OVERS_SHOWN])


def usual_time(done: Iterable[Install]) -> timedelta | None:
    """The median from click to end."""
    times = [install.ended_at - install.queued_at for install in done if install.ended_at]
    return timedelta(seconds=median(time.total_seconds() for time in times)) if times else None


def _is_of(machine: Machine, newest: dict[int, Install], level: PoolLevel) -> bool:
    install = newest.get(machine.pk)
    return install is not None and (machine.type_id, install.image_id) == (level.type_id, level.image_id)


def _warm(machine: Machine, install: Install, level: PoolLevel) -> Warm:
    return Warm(machine, install, is_warm(install, level.image))
