"""How often installs work, by method and type of machine: counted from the installs themselves, so it cannot drift."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import InstallQuerySet


@dataclass(frozen=True)
class Rate:
    """`worked` of `tried` on machines of one type. Cancelled attempts tell nothing and are left out."""

    where: str
    tried: int
    worked: int
    went_on: int
    """How many of those that failed went on with a fallback."""

    @property
    def percent(self) -> int:
        return round(100 * self.worked / self.tried)


@dataclass(frozen=True)
class OfMethod:
    slug: str
    rates: Sequence[Rate]

    @property
    def label(self) -> str:
        return _(METHODS[self.slug].label) if self.slug in METHODS else self.slug

    @property
    def whole(self) -> Rate:
        """Of all types together."""
        counts = ((rate.tried, rate.worked, rate.went_on) for rate in self.rates)
        return Rate("", *(sum(column) for column in zip(*counts, strict=True)))


def rates(installs: InstallQuerySet) -> list[OfMethod]:
    """Of these installs, inspections left out. One query, however many there are."""
    ended = installs.real_installs().filter(state__in=[State.INSTALLED, State.FAILED]).order_by()
    rows = ended.values_list("method", "machine__type__name", "machine__site__is_practice").annotate(
        tried=Count("pk", distinct=True),
        worked=Count("pk", distinct=True, filter=Q(state=State.INSTALLED)),
        went_on=Count("pk", distinct=True, filter=Q(retries__fallback__gt=0)),
    )
    found: dict[str, list[Rate]] = {}
    for method, machine_type, is_practice, tried, worked, went_on in rows:
        found.setdefault(method, []).append(Rate(_where(machine_type, is_practice), tried, worked, went_on))
    order = list(METHODS)
    slugs = sorted(found, key=lambda slug: (order.index(slug) if slug in order else len(order), slug))
    return [OfMethod(slug, sorted(found[slug], key=lambda rate: (-rate.tried, rate.where))) for slug in slugs]


def _where(machine_type: str | None, is_practice: bool) -> str:
    if is_practice:
        return _("Practice servers")
    return machine_type or _("without a type")
