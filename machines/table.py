"""The table of machines: filtered, sorted and paged by the database, in a number of queries that never grows."""

import re
from dataclasses import dataclass, field

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.expressions import OrderBy
from django.http import QueryDict

from machines.lifecycle import State
from machines.models import Cluster, Interface, Machine, MachineQuerySet

PAGE_SIZE = 50
FAILED = "failed"
SORTS = {
    "name": ("name",), "power": ("power_state", "name"), "state": ("state", "name"),
    "cluster": ("cluster__name", "name"), "place": ("rack", "unit", "name"), "image": ("image_name", "name"),
    "seen": ("power_seen_at", "name"),
}  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """What the address of the page asks for; whatever it does not know it ignores."""

    q: str = ""
    state: str = ""
    power: str = ""
    cluster: str = ""
    sort: str = "name"
    page: str = "1"

    @property
    def is_any(self) -> bool:
        return bool(self.q or self.state or self.power or self.cluster)


@dataclass(frozen=True)
class Table:
    filters: Filters
    page: Page  # type: ignore[type-arg]
    counts: dict[str, int]
    total: int
    clusters: list[str] = field(default_factory=list)


def filters_from(asked: QueryDict) -> Filters:
    sort = asked.get("sort", "name")
    return Filters(
        q=asked.get("q", "").replace("\0", "").strip()[:100],
        state=asked.get("state", "") if asked.get("state") in {*State.values, FAILED} else "",
        power=asked.get("power", "") if asked.get("power") in ("on", "off", "unknown") else "",
        cluster=asked.get("cluster", "").replace("\0", "")[:63],
        sort=sort if sort.removeprefix("-") in SORTS else "name",
        page=asked.get("page", "1")[:9],
    )


def table(filters: Filters, *, failed: set[int]) -> Table:
    """One page of machines. `failed` are those whose last attempt failed, which installs know."""
    states = dict(Machine.objects.order_by().values_list("state").annotate(n=Count("pk")))
    retired = states.get(State.RETIRED, 0)
    found = _filtered(filters, failed).order_by(*_order(filters.sort))
    rows = found.select_related("cluster__vlan", "site", "bmc").prefetch_related("interfaces")
    return Table(
        filters=filters,
        page=Paginator(rows, PAGE_SIZE).get_page(filters.page),
        counts=states | {FAILED: len(failed)},
        total=sum(states.values()) - retired,
        clusters=list(Cluster.objects.values_list("name", flat=True)),
    )


def _filtered(filters: Filters, failed: set[int]) -> MachineQuerySet:
    machines = Machine.objects.all() if filters.state == State.RETIRED else Machine.objects.exclude(state=State.RETIRED)
    if filters.state == FAILED:
        machines = machines.filter(pk__in=failed)
    elif filters.state:
        machines = machines.filter(state=filters.state)
    if filters.power:
        machines = machines.filter(power_state=filters.power)
    if filters.cluster:
        machines = machines.filter(cluster__name=filters.cluster)
    for word in filters.q.split():
        machines = machines.filter(_contains(word))
    return machines


def _contains(word: str) -> Q:
    cards = Interface.objects.filter(machine=OuterRef("pk"), mac__contains=_as_mac(word))
    texts = ("name", "serial", "rack", "owner", "image_name", "bmc__host", "cluster__name")
    return Q(Exists(cards)) | Q(*((f"{column}__icontains", word) for column in texts), _connector=Q.OR)


def _as_mac(word: str) -> str:
    """Part of a MAC in whatever spelling, as the database has it."""
    digits = re.sub(r"[-:.]", "", word.lower())
    if re.fullmatch(r"[0-9a-f]{6,12}", digits):
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    return word.lower().replace("-", ":")


def _order(sort: str) -> list[str | OrderBy]:
    columns = SORTS[sort.removeprefix("-")]
    if sort.startswith("-"):
        return [F(columns[0]).desc(nulls_last=True), *columns[1:]]
    return [F(columns[0]).asc(nulls_last=True), *columns[1:]]
