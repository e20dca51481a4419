"""Which installs a list shows: filters from its address, answered by the database."""

from dataclasses import dataclass, fields
from datetime import datetime, time, timedelta

from django.db.models import Count, Q
from django.http import QueryDict
from django.utils.timezone import get_current_timezone
from django.utils.translation import gettext_lazy as _

from dodaiweb import asked as asked_for
from installs.lifecycle import LIVE, State
from installs.models import Image, Install, InstallQuerySet

STATES = {
    "": _("All"), "live": _("Under way"), "installed": _("Installed"), "failed": _("Failed"),
    "cancelled": _("Cancelled"),
}  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """What the address asks for; whatever it does not know it ignores."""

    state: str = ""
    q: str = ""
    cause: str = ""
    by: str = ""
    image: str = ""
    since: str = ""
    until: str = ""
    inspections: str = ""

    @property
    def is_any(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self) if field.name != "inspections")


def filters_from(asked: QueryDict) -> Filters:
    values = {field.name: asked.get(field.name, "").replace("\0", "").strip()[:150] for field in fields(Filters)}
    values["state"] = values["state"] if values["state"] in STATES else ""
    values["inspections"] = "1" if values["inspections"] == "1" else ""
    return Filters(**values | {name: _date_or_nothing(values[name]) for name in ("since", "until")})


def found(filters: Filters) -> InstallQuerySet:
    """The installs that all filters let through, newest first."""
    return in_state(matching(filters), filters.state)


def matching(filters: Filters) -> InstallQuerySet:
    """Like `found`, in whatever state: what the counts beside the states are of."""
    installs = Install.objects.all() if filters.inspections else Install.objects.real_installs()
    exact = {"cause": filters.cause, "requested_by": filters.by, "image__name": filters.image}
    installs = installs.filter(**{column: value for column, value in exact.items() if value})
    for word in filters.q.split():
        installs = installs.filter(_contains(word))
    if filters.since:
        installs = installs.filter(queued_at__gte=_midnight(filters.since))
    if filters.until:
        installs = installs.filter(queued_at__lt=_midnight(filters.until) + timedelta(days=1))
    return installs


def in_state(installs: InstallQuerySet, state: str) -> InstallQuerySet:
    if state == "live":
        return installs.filter(state__in=LIVE)
    return installs.filter(state=state) if state else installs


def counts(installs: InstallQuerySet) -> dict[str, int]:
    """By the keys of STATES. One query."""
    by_state = dict(installs.order_by().values_list("state").annotate(n=Count("pk")))
    return by_state | {"": sum(by_state.values()), "live": sum(n for state, n in by_state.items() if state in LIVE)}


def choices() -> dict[str, list[str]]:
    """What causes, people and images there are to filter by. Three queries."""
    failed = Install.objects.filter(state=State.FAILED)
    return {
        "causes": _distinct(failed, "cause"),
        "people": _distinct(Install.objects.all(), "requested_by"),
        "images": list(Image.objects.values_list("name", flat=True)),
    }


def _distinct(installs: InstallQuerySet, column: str) -> list[str]:
    return [value for value in installs.order_by(column).values_list(column, flat=True).distinct() if value]


def _contains(word: str) -> Q:
    number = Q(pk=int(word[1:])) if word.startswith("#") and word[1:].isdecimal() and len(word) < 18 else Q()
    return number or Q(machine__name__icontains=word) | Q(machine__serial__icontains=word)


def _date_or_nothing(text: str) -> str:
    return text if asked_for.day(text) else ""


def _midnight(text: str) -> datetime:
    day = asked_for.day(text)
    assert day, "filters hold only days"
    return datetime.combine(day, time(), tzinfo=get_current_timezone())
