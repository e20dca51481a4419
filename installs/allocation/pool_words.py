"""The pool's levels as the page shows them. No query is made here but for `hand_overs_by_level`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dodaiweb.stored_words import told
from installs.allocation import pool
from installs.allocation.pool import HAND_OVERS_SHOWN, Stock
from installs.lifecycle import State
from installs.models import Install, PoolLevel

LOOKED_THROUGH = 200  # of the last hand-overs: enough for the last ten of each level that is used at all


@dataclass(frozen=True)
class Share:
    """A part of a level's bar, in per cent of the level."""

    look: str
    percent: float


@dataclass(frozen=True)
class Line:
    """A level with what there is for it, and its last hand-overs."""

    stock: Stock
    done: Sequence[Install] = ()

    @property
    def level(self) -> PoolLevel:
        return self.stock.level

    @property
    def usual(self) -> timedelta | None:
        """The median of the last hand-overs."""
        return pool.usual_time(self.done)

    @property
    def shares(self) -> list[Share]:
        found, counts = self.stock, {}
        counts["installed"], counts["installing"] = len(found.current), len(found.installing)
        counts["maintenance"] = len(found.outdated)
        whole = max(self.level.level, sum(counts.values()), 1)
        return [Share(look, 100 * count / whole) for look, count in counts.items() if count]

    @property
    def look(self) -> str:
        return "warm" if len(self.stock.current) >= self.level.level else "installing"


def lines(levels: Iterable[PoolLevel]) -> list[Line]:
    """Five queries, however many there are."""
    stocks, done = pool.stocks(levels), hand_overs_by_level()
    return [Line(found, done.get((found.level.type_id, found.level.image_id), ())) for found in stocks]


def hand_overs_by_level() -> dict[tuple[int, int], list[Install]]:
    """(type, image) -> the last that were done, the newest first. Two queries."""
    done = Install.objects.filter(method="hand-over", state=State.INSTALLED).select_related("machine").order_by("-pk")
    last = list(done.defer("error_detail", "machine__facts", "machine__notes")[:LOOKED_THROUGH])
    pooled = {install.pk: _told_install(install) for install in last}
    images = dict(Install.objects.filter(pk__in=set(pooled.values())).values_list("pk", "image"))
    found: dict[tuple[int, int], list[Install]] = {}
    for install in last:
        key = install.machine.type_id or 0, images.get(pooled[install.pk]) or 0
        found.setdefault(key, []).append(install)
    return {key: installs[:HAND_OVERS_SHOWN] for key, installs in found.items()}


def counts(stock: Stock) -> str:
    """`2 of 4 warm, 1 being installed, 1 outdated`."""
    said = [_("%(n)s of %(level)s warm") % {"n": len(stock.current), "level": stock.level.level}]
    others = [(_("%(n)s being installed"), stock.installing), (_("%(n)s outdated"), stock.outdated)]
    return ", ".join([*said, *(words % {"n": len(rows)} for words, rows in others if rows)])


def why_not_full(stock: Stock) -> str:
    """ "" where it is full, or on its way."""
    if stock.level.problem:
        return told(stock.level.problem)
    if not stock.missing:
        return ""
    missing = stock.missing
    words = ngettext(
        "%(n)s machine is missing: its install begins within seconds, or when one before it has ended.",
        "%(n)s machines are missing: their installs begin within seconds, or when those before them have ended.",
        missing,
    )
    return words % {"n": missing}


def _told_install(install: Install) -> int:
    """The install that made what was handed over."""
    number = (install.plan.get("told") or {}).get("install")
    return number if isinstance(number, int) else 0
