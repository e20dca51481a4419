"""The fleet in numbers and racks. What installs know of a machine is handed in, as `Doing`."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from django.db.models import Case, F, Min, Q, Value, When
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from machines.lifecycle import State
from machines.models import POWER_IS_STALE_AFTER, Machine
from machines.power.base import Power

DENSE_ABOVE = 600  # machines; beyond that one tile a rack, one SVG path a colour
NO_RACK = "-"
NAMED_UP_TO = 60  # machines; up to here each carries its name in the map

LOOKS: dict[str, str] = {
    State.NEW: "new", State.FREE: "ready", State.INSTALLING: "installing", State.WARM: "installed",
    State.IN_USE: "installed", State.RELEASING: "installing", State.ERASING: "installing",
    State.ASIDE: "maintenance", State.BROKEN: "maintenance", State.RETIRED: "maintenance",
}  # fmt: skip
"""Machine state -> how it is drawn."""
LOOK_LABELS = {
    "installed": _("in use"), "installing": _("at work"), "failed": _("failed"), "ready": _("free"), "new": _("new"),
    "maintenance": _("set aside"),
}  # fmt: skip
POWER_LABELS = {Power.ON: _("on"), Power.OFF: _("off"), Power.UNKNOWN: _("unknown")}


@dataclass(frozen=True)
class Doing:
    """What installs say about a machine: `failed` how its last attempt ended, or words and share of a live one."""

    words: str
    share: float = 0.0
    failed: bool = False


class Unit(NamedTuple):
    """A machine in its rack. A tuple: there are ten thousand of them."""

    pk: int
    name: str
    state: str
    look: str
    words: str
    power: str
    rack: str
    unit: int | None
    cluster: str
    colour: str
    share: float
    is_practice: bool
    has_power_error: bool


@dataclass(frozen=True)
class Counters:
    """Of the real machines; of the practice servers where there is nothing else (`is_practice_only`)."""

    machines: int
    racks: int
    powered_on: int
    power_readable: int
    no_reply: int
    in_use: int
    warm: int
    busy: int
    failed: int
    free: int
    new: int
    aside: int
    practice: int
    is_practice_only: bool
    oldest_reading: datetime | None

    @property
    def is_stale(self) -> bool:
        """Whether some reading is too old to be believed."""
        return self.oldest_reading is not None and self.oldest_reading < now() - POWER_IS_STALE_AFTER

    @property
    def kind(self) -> str:
        """The filter of the machine list that shows what is counted here; "" where that is all machines."""
        return "real" if self.practice and not self.is_practice_only else ""


@dataclass(frozen=True)
class Rack:
    """`key` is how the list of machines is asked for it."""

    name: str
    units: Sequence[Unit]
    key: str = NO_RACK

    def paths(self, by: str) -> dict[str, str]:
        """Colour key -> SVG path over a column one wide and a unit high each."""
        drawn: dict[str, list[str]] = {}
        for row, unit in enumerate(self.units):
            drawn.setdefault(colour_key(unit, by), []).append(f"M0 {row}h1v1h-1z")
        return {key: "".join(parts) for key, parts in drawn.items()}

    @cached_property
    def label(self) -> str:
        counted = Counter(unit.look for unit in self.units)
        return ", ".join(f"{number} {LOOK_LABELS[look]}" for look, number in sorted(counted.items()))

    @property
    def is_practice(self) -> bool:
        return all(unit.is_practice for unit in self.units)

    @property
    def has_failed(self) -> bool:
        return any(unit.look == "failed" for unit in self.units)


@dataclass(frozen=True)
class ClusterShare:
    name: str
    colour: str
    count: int
    looks: Sequence[tuple[str, int, float]]
    """(look, how many, per cent of the cluster)"""


def colour_key(unit: Unit, by: str) -> str:
    return {"power": unit.power, "cluster": unit.colour or "none"}.get(by, unit.look)


def size() -> int:
    """How many machines the map has."""
    return Machine.objects.exclude(state=State.RETIRED).count()


def units_of_fleet(doing: Mapping[int, Doing], *, moment: datetime) -> list[Unit]:
    """All machines but the retired ones. One query."""
    fresh = Q(power_seen_at__gte=moment - POWER_IS_STALE_AFTER)
    power = Case(When(fresh, then=F("power_state")), default=Value(Power.UNKNOWN))
    rows = Machine.objects.exclude(state=State.RETIRED).values_list(
        "pk", "name", "state", power, "power_error", "rack", "unit", "cluster__name", "cluster__colour",
        "site__is_practice",
    )  # fmt: skip
    labels = {state.value: str(state.label) for state in State}
    return [_unit(row, doing.get(row[0]), labels) for row in rows]


def oldest_readings() -> dict[bool, datetime]:
    """The oldest of the last power readings: of practice servers (True), of the others (False). One query."""
    kept = Machine.objects.exclude(state=State.RETIRED).exclude(power_seen_at=None).order_by()
    return dict(kept.values_list("site__is_practice").annotate(oldest=Min("power_seen_at")))


def count(units: Iterable[Unit], oldest: Mapping[bool, datetime] | None = None) -> Counters:
    """`oldest`: what `oldest_readings` says."""
    everything = list(units)
    practice = sum(unit.is_practice for unit in everything)
    counted = [unit for unit in everything if not unit.is_practice] or everything
    states, looks = Counter(unit.state for unit in counted), Counter(unit.look for unit in counted)
    return Counters(
        machines=len(counted),
        racks=len({unit.rack for unit in counted if unit.rack}),
        powered_on=sum(unit.power == Power.ON for unit in counted),
        power_readable=sum(unit.power != Power.UNKNOWN for unit in counted),
        no_reply=sum(unit.has_power_error for unit in counted),
        in_use=states[State.IN_USE],
        warm=states[State.WARM],
        busy=looks["installing"],
        failed=looks["failed"],
        free=states[State.FREE],
        new=states[State.NEW],
        aside=states[State.ASIDE] + states[State.BROKEN],
        practice=practice,
        is_practice_only=practice == len(everything) > 0,
        oldest_reading=(oldest or {}).get(practice == len(everything) > 0),
    )


def racks_of(units: Iterable[Unit]) -> list[Rack]:
    """Racks by name as people count (R2 before R10), machines without one last, practice servers after them all."""
    by_rack: dict[str, list[Unit]] = {}
    for unit in units:
        by_rack.setdefault(unit.rack, []).append(unit)
    practice = {name for name, members in by_rack.items() if all(unit.is_practice for unit in members)}
    ordered = sorted(by_rack, key=lambda name: (name in practice, not name, _natural(name)))
    return [Rack(name or gettext("No rack"), sorted(by_rack[name], key=_place), name or NO_RACK) for name in ordered]


def clusters_of(units: Iterable[Unit]) -> list[ClusterShare]:
    by_cluster: dict[tuple[str, str], list[str]] = {}
    for unit in units:
        if unit.cluster:
            by_cluster.setdefault((unit.cluster, unit.colour), []).append(unit.look)
    return [
        ClusterShare(name, colour, len(looks), _shares(looks)) for (name, colour), looks in sorted(by_cluster.items())
    ]


def _shares(looks: list[str]) -> list[tuple[str, int, float]]:
    return [(look, number, 100 * number / len(looks)) for look, number in Counter(looks).most_common()]


def _unit(row: tuple, doing: Doing | None, labels: Mapping[str, str]) -> Unit:  # type: ignore[type-arg]
    pk, name, state, power, error, rack, place, cluster, colour, practice = row
    if doing:
        look, words, share = "failed" if doing.failed else "installing", doing.words, doing.share
    else:
        look, words, share = LOOKS[state], labels[state], 0.0
    return Unit(
        pk, name, state, look, words, power, rack, place, cluster or "", colour or "", share, practice, bool(error)
    )


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", name) if part]


def _place(unit: Unit) -> tuple[bool, int, str]:
    return unit.unit is None, unit.unit or 0, unit.name
