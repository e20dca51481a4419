"""The table of machines: filtered, sorted and paged by the database, in a number of queries that never grows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Q
from django.db.models.expressions import OrderBy
from django.http import QueryDict

from machines.fleet import NO_RACK
from machines.lifecycle import State
from machines.models import Bmc, Cluster, Interface, Machine, MachineQuerySet

PAGE_SIZES = (25, 50, 100)
PAGE_SIZE = 50
FAILED = "failed"
KINDS = ("real", "practice")
SORTS = {
    "name": ("name",), "power": ("power_state", "name"), "state": ("state", "name"),
    "cluster": ("cluster__name", "name"), "place": ("rack", "unit", "name"), "image": ("image_name", "name"),
    "seen": ("power_seen_at", "name"),
}  # fmt: skip
NULLABLE = ("cluster__name", "unit", "power_seen_at")
LONG = ("facts", "notes", "bmc__test_report", "bmc__password_sealed", "site__reach_report")
"""Columns that no list shows."""


@dataclass(frozen=True)
class Filters:
    """What the address of the page asks for; whatever it does not know it ignores."""

    q: str = ""
    state: str = ""
    power: str = ""
    cluster: str = ""
    rack: str = ""
    kind: str = ""
    cause: str = ""
    sort: str = "name"
    page: str = "1"
    size: int = PAGE_SIZE

    @property
    def is_any(self) -> bool:
        return any((self.q, self.state, self.power, self.cluster, self.rack, self.kind, self.cause))


@dataclass(frozen=True)
class Table:
    filters: Filters
    page: Page  # type: ignore[type-arg]
    counts: dict[str, int]
    total: int
    has_practice: bool
    macs: Mapping[int, str]
    clusters: list[str] = field(default_factory=list)


def filters_from(asked: QueryDict) -> Filters:
    sort, size = asked.get("sort", "name"), asked.get("size", "")
    return Filters(
        q=_text(asked, "q", 100).strip(),
        state=_one_of(asked, "state", {*State.values, FAILED}),
        power=_one_of(asked, "power", {"on", "off", "unknown"}),
        cluster=_text(asked, "cluster", 63),
        rack=_text(asked, "rack", 31),
        kind=_one_of(asked, "kind", set(KINDS)),
        cause=_text(asked, "cause", 50),
        sort=sort if sort.removeprefix("-") in SORTS else "name",
        page=asked.get("page", "1")[:9],
        size=int(size) if size in map(str, PAGE_SIZES) else PAGE_SIZE,
    )


def table(filters: Filters, *, failed: Mapping[int, str]) -> Table:
    """One page of machines. `failed`: the causes of those whose last attempt failed, which installs know."""
    states = dict(_of_kind(filters.kind).order_by().values_list("state").annotate(n=Count("pk")))
    page = _page(matching(filters, failed=failed), filters)
    cards = Interface.objects.filter(machine__in=[machine.pk for machine in page], is_pxe=True)
    return Table(
        filters=filters,
        page=page,
        macs=dict(cards.values_list("machine", "mac")),
        counts=states | {FAILED: len(failed)},
        total=sum(states.values()) - states.get(State.RETIRED, 0),
        has_practice=Machine.objects.practice().exclude(state=State.RETIRED).exists(),
        clusters=list(Cluster.objects.values_list("name", flat=True)),
    )


def matching(filters: Filters, *, failed: Mapping[int, str]) -> MachineQuerySet:
    """All machines that the filters leave, in their order. Retired ones only where they are asked for."""
    machines = _of_kind(filters.kind)
    if filters.state != State.RETIRED:
        machines = machines.exclude(state=State.RETIRED)
    if filters.state == FAILED or filters.cause:
        machines = machines.filter(pk__in=[pk for pk, cause in failed.items() if filters.cause in ("", cause)])
    elif filters.state:
        machines = machines.filter(state=filters.state)
    if filters.power:
        machines = machines.filter(power_state=filters.power)
    if filters.cluster:
        machines = machines.filter(cluster__name=filters.cluster)
    if filters.rack:
        machines = machines.filter(rack="" if filters.rack == NO_RACK else filters.rack)
    for word in filters.q.split():
        machines = machines.filter(_contains(word))
    return machines.order_by(*_order(filters.sort))


def _page(found: MachineQuerySet, filters: Filters) -> Page:  # type: ignore[type-arg]
    """Which machines they are is told by an index alone; only these are then read."""
    numbers = found.values_list("pk", flat=True)
    # A search reads the whole table: once, for the count and the page together.
    page = Paginator(list(numbers) if filters.q else numbers, filters.size).get_page(filters.page)
    ids = list(page.object_list)
    by_id = Machine.objects.select_related("cluster", "site", "bmc").defer(*LONG).in_bulk(ids)
    page.object_list = [by_id[pk] for pk in ids if pk in by_id]  # type: ignore[misc]  # from here on they are machines
    return page


def _of_kind(kind: str) -> MachineQuerySet:
    everything = {"real": Machine.objects.real, "practice": Machine.objects.practice}
    return everything.get(kind, Machine.objects.all)()


def _contains(word: str) -> Q:
    """Subqueries rather than joins: each is answered once, not once a machine."""
    cards = Interface.objects.filter(Q(mac__contains=as_mac(word)) | Q(address__contains=word))
    others = (
        Q(pk__in=cards.values("machine"))
        | Q(pk__in=Bmc.objects.filter(host__icontains=word).values("machine"))
        | Q(cluster__in=Cluster.objects.filter(name__icontains=word))
    )
    texts = ("name", "serial", "rack", "owner", "image_name")
    return others | Q(*((f"{column}__icontains", word) for column in texts), _connector=Q.OR)


def as_mac(word: str) -> str:
    """Part of a MAC in whatever spelling, as the database has it."""
    digits = re.sub(r"[-:.]", "", word.lower())
    if re.fullmatch(r"[0-9a-f]{6,12}", digits):
        return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    return word.lower().replace("-", ":")


def _order(sort: str) -> list[str | OrderBy]:
    first, *others = SORTS[sort.removeprefix("-")]
    last = True if first in NULLABLE else None
    ordered = F(first).desc(nulls_last=last) if sort.startswith("-") else F(first).asc(nulls_last=last)
    return [ordered, *others]


def _text(asked: QueryDict, name: str, longest: int) -> str:
    return asked.get(name, "").replace("\0", "")[:longest]


def _one_of(asked: QueryDict, name: str, known: set[str]) -> str:
    value = asked.get(name, "")
    return value if value in known else ""
