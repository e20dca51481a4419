"""Who did what, and when: one list out of what installs, power commands, inventory and logins each keep.

Each source is asked for the newest rows before a moment, so a page costs the same however long the past is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import LogEntry
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dodaiweb import deeds
from dodaiweb.stored_words import told
from installs.lifecycle import State as InstallState
from installs.models import Allocation, Event, Image, ImageImport, Install, WaveEvent
from installs.operation_words import asked_words
from installs.waves.words import EVENTS as WAVE_EVENTS
from installs.words import event_words
from machines.history import words_of
from machines.models import Checkup, Machine, PortMove, PowerCommand, Sighting
from machines.models.history import HISTORIES

ROWS_A_PAGE = 60
KINDS = {
    "installs": gettext_lazy("Installs"), "power": gettext_lazy("Power"), "ports": gettext_lazy("Switch ports"),
    "inventory": gettext_lazy("Inventory"),
    "images": gettext_lazy("Images"), "checkups": gettext_lazy("Check-ups"),
    "admin": gettext_lazy("Users and settings"), "logins": gettext_lazy("Logins"),
}  # fmt: skip
POWER_WORDS = {
    "on": gettext_lazy("asked to switch on"), "off": gettext_lazy("asked to switch off"),
    "soft": gettext_lazy("asked to shut down"), "reset": gettext_lazy("asked for a reset"),
    "status": gettext_lazy("asked for the power state"), "test": gettext_lazy("asked for a test of the BMC"),
}  # fmt: skip
LONG_COLUMNS = tuple(f"install__{name}" for name in ("plan", "error_detail"))


@dataclass(frozen=True)
class Question:
    """What to show. `before` is where the page begins; `with_logins` whether the reader may see those."""

    who: str = ""
    kind: str = ""
    machine: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: datetime | None = None
    with_logins: bool = False

    @property
    def newest(self) -> datetime | None:
        return min((moment for moment in (self.until, self.before) if moment), default=None)


@dataclass(frozen=True)
class Entry:
    """`machine` is the name of one, `link` leads to more, `address` is where it was done from; "" where unknown."""

    at: datetime
    who: str
    kind: str
    words: str
    machine: str = ""
    link: str = ""
    address: str = ""
    is_bad: bool = False


@dataclass(frozen=True)
class Page:
    entries: list[Entry]
    next_before: datetime | None
    """Where the following page begins; None when this is the last."""


def page(question: Question) -> Page:
    """The newest entries before `question.before`. The number of queries depends on nothing."""
    entries = [entry for source in _sources(question) for entry in source(question, ROWS_A_PAGE + 1)]
    entries.sort(key=lambda entry: entry.at, reverse=True)
    shown = entries[:ROWS_A_PAGE]
    if len(entries) <= ROWS_A_PAGE:
        return Page(shown, None)
    # What happened at the same moment stays on one page, as the next one begins strictly before.
    whole = [entry for entry in shown if entry.at > entries[ROWS_A_PAGE].at] or shown
    return Page(whole, whole[-1].at)


Source = Callable[[Question, int], Iterable[Entry]]


def _sources(question: Question) -> list[Source]:
    sources: dict[str, list[Source]] = {
        "installs": [_installs, _cancels, _waves, _allocations], "power": [_power],
        "ports": [_port_moves, _ports_by_hand],
        "inventory": [_inventory, _logged("inventory", _of(Sighting))], "checkups": [_checkups],
        "images": [_imports, _cancelled_imports, _logged("images", _of(Image))],
        "admin": [_logged("admin", ~_of(*HISTORIES, Image, Sighting))],
        "logins": [_logins, _failed_logins] if question.with_logins else [],
    }  # fmt: skip
    chosen = [question.kind] if question.kind else list(sources)
    return [source for kind in chosen for source in sources.get(kind, [])]


def _installs(question: Question, limit: int) -> Iterable[Entry]:
    rows = _limited(Install.objects.order_by("-pk"), question, "queued_at", "requested_by", "machine__name")
    for install in rows.select_related("machine", "image").defer("plan", "error_detail")[:limit]:
        words = asked_words(install)
        if install.fallback:
            words = _("%(words)s, a fallback after #%(number)s") % {"words": words, "number": install.retry_of_id}
        elif install.retry_of_id:
            words = _("%(words)s, again after #%(number)s") % {"words": words, "number": install.retry_of_id}
        yield Entry(install.queued_at, install.requested_by, "installs", words, install.machine.name, _link(install.pk))


def _cancels(question: Question, limit: int) -> Iterable[Entry]:
    """What people did to installs after they had asked for them."""
    done = Event.objects.exclude(by="").exclude(name="queue").order_by("-pk")
    rows = _limited(done, question, "at", "by", "install__machine__name").select_related("install__machine")
    for event in rows.defer("data", *LONG_COLUMNS)[:limit]:
        words = _stop_words(event) if event.name == "stop" else f"{event_words(event)} #%(number)s"
        name = event.install.machine.name
        yield Entry(event.at, event.by, "installs", words % {"number": event.install_id}, name, _link(event.install_id))


def _stop_words(event: Event) -> str:
    is_cancelled = event.install.wanted_end == InstallState.CANCELLED
    return _("cancelled #%(number)s") if is_cancelled else _("#%(number)s cannot be done")


def _waves(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    for event in _limited(WaveEvent.objects.exclude(by="").order_by("-pk"), question, "at", "by", "")[:limit]:
        done = WAVE_EVENTS.get(event.name, event.name)
        words = _("wave %(number)s %(done)s") % {"number": event.wave_id, "done": done}
        yield Entry(event.at, event.by, "installs", words, link=reverse("wave", args=[event.wave_id]))


def _allocations(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    rows = _limited(Allocation.objects.order_by("-pk"), question, "created_at", "requested_by", "")
    for made in rows.select_related("type", "image", "cluster")[:limit]:
        values = {"count": made.count, "type": made.type, "image": made.image.name, "cluster": made.cluster}
        words = _("asked for %(count)s of %(type)s with %(image)s into %(cluster)s") % values
        yield Entry(made.created_at, made.requested_by, "installs", words, link=reverse("allocation", args=[made.pk]))


def _power(question: Question, limit: int) -> Iterable[Entry]:
    rows = _limited(PowerCommand.objects.order_by("-pk"), question, "asked_at", "asked_by", "machine__name")
    for command in rows.select_related("machine")[:limit]:
        words = str(POWER_WORDS.get(command.action, command.action))
        failed = command.state == PowerCommand.State.FAILED
        if failed:
            words = _("%(words)s, which failed: %(why)s") % {"words": words, "why": told(command.message)}
        yield Entry(command.asked_at, command.asked_by, "power", words, command.machine.name, is_bad=failed)


def _port_moves(question: Question, limit: int) -> Iterable[Entry]:
    """What was asked of switches, and of the people who move ports by hand."""
    rows = _limited(PortMove.objects.order_by("-pk"), question, "asked_at", "asked_by", "interface__machine__name")
    for move in rows.select_related("switch", "interface__machine")[:limit]:
        failed = move.state in (PortMove.State.PUT_BACK, PortMove.State.FAILED, PortMove.State.ASTRAY)
        words = _("asked to move %(place)s: %(state)s") % {"place": _place(move), "state": move.get_state_display()}
        yield Entry(move.asked_at, move.asked_by, "ports", words, _moved(move), is_bad=failed)


def _ports_by_hand(question: Question, limit: int) -> Iterable[Entry]:
    """What people said of ports that they were asked to move."""
    rows = PortMove.objects.exclude(ended_by="").exclude(ended_at=None).order_by("-ended_at")
    rows = _limited(rows, question, "ended_at", "ended_by", "interface__machine__name")
    for move in rows.select_related("switch", "interface__machine")[:limit]:
        failed = move.state == PortMove.State.FAILED
        said = _("cannot move %(place)s: %(why)s") if failed else _("moved %(place)s by hand")
        words = said % {"place": _place(move), "why": move.problem}
        yield Entry(move.ended_at, move.ended_by, "ports", words, _moved(move), is_bad=failed)


def _place(move: PortMove) -> str:
    values = {"port": move.port, "switch": move.switch, "vlan": move.vlan}
    if move.vlan is None:
        return _("port %(port)s of %(switch)s out of every VLAN") % values
    return _("port %(port)s of %(switch)s into VLAN %(vlan)s") % values


def _moved(move: PortMove) -> str:
    return move.interface.machine.name if move.interface else ""


def _inventory(question: Question, limit: int) -> Iterable[Entry]:
    found = []
    for model in HISTORIES:
        rows = model.history.order_by("-history_date", "-history_id")
        rows = _limited(rows, question, "history_date", "history_by", _machine_column(model))
        found += [(model, row) for row in rows[:limit]] if _machine_column(model) or not question.machine else []
    found.sort(key=lambda pair: pair[1].history_date, reverse=True)
    numbers = {row.machine_id for _model, row in found[:limit] if hasattr(row, "machine_id")}
    names = dict(Machine.objects.filter(pk__in=numbers).values_list("pk", "name"))
    return [_edit(model, row, names) for model, row in found[:limit]]


def _edit(model: Any, row: Any, names: dict[int, str]) -> Entry:
    entry = Entry(row.history_date, row.history_by, "inventory", words_of(row))
    if model is Machine:
        return replace(entry, machine=row.name)
    if hasattr(row, "machine_id"):
        return replace(entry, machine=names.get(row.machine_id, ""))
    what = f"{model._meta.verbose_name} {getattr(row, 'name', '')}".strip()
    return replace(entry, words=f"{what}: {entry.words}")


def _machine_column(model: Any) -> str:
    """By which column of its history a machine is found; "" for what belongs to none."""
    if model is Machine:
        return "name"
    return "machine__name" if any(field.name == "machine" for field in model._meta.fields) else ""


def _imports(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    rows = _limited(ImageImport.objects.order_by("-pk"), question, "created_at", "requested_by", "")
    for taken in rows[:limit]:
        words = _("asked to import the image %(name)s") % {"name": taken.name}
        yield Entry(
            taken.created_at, taken.requested_by, "images", words, link=reverse("image_import", args=[taken.pk])
        )


def _cancelled_imports(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    rows = ImageImport.objects.exclude(cancelled_by="").exclude(ended_at=None).order_by("-ended_at")
    for taken in _limited(rows, question, "ended_at", "cancelled_by", "")[:limit]:
        words = _("cancelled the import of the image %(name)s") % {"name": taken.name}
        yield Entry(taken.ended_at, taken.cancelled_by, "images", words, link=reverse("image_import", args=[taken.pk]))


def _checkups(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    rows = _limited(Checkup.objects.order_by("-asked_at"), question, "asked_at", "asked_by", "")
    for asked_at, asked_by in rows.values_list("asked_at", "asked_by")[:limit]:
        yield Entry(asked_at, asked_by, "checkups", _("asked for a check-up"), link=reverse("doctor"))


def _of(*models: Any) -> Q:
    kinds = [Q(content_type__app_label=m._meta.app_label, content_type__model=m._meta.model_name) for m in models]
    return Q(*kinds, _connector=Q.OR)


def _logged(kind: str, chosen: Q) -> Source:
    """What was done to rows that have no history of their own: images; users, groups, keys, notices."""

    def found(question: Question, limit: int) -> Iterable[Entry]:
        if question.machine:
            return
        rows = _limited(LogEntry.objects.filter(chosen).order_by("-pk"), question, "action_time", "user__username", "")
        for row in rows.select_related("user", "content_type")[:limit]:
            yield Entry(row.action_time, row.user.get_username(), kind, deeds.words_of(row))

    return found


def _logins(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    rows = _limited(AccessLog.objects.order_by("-attempt_time"), question, "attempt_time", "username", "")
    for moment, who, address in rows.values_list("attempt_time", "username", "ip_address")[:limit]:
        yield Entry(moment, who or "", "logins", _("logged in"), address=address or "")


def _failed_logins(question: Question, limit: int) -> Iterable[Entry]:
    if question.machine:
        return
    rows = _limited(AccessAttempt.objects.order_by("-attempt_time"), question, "attempt_time", "username", "")
    for attempt in rows.values("attempt_time", "username", "ip_address", "failures_since_start")[:limit]:
        times = attempt["failures_since_start"]
        words = ngettext("failed to log in", "failed to log in, %(n)s times in a row", times) % {"n": times}
        who, address = attempt["username"] or "", attempt["ip_address"] or ""
        yield Entry(attempt["attempt_time"], who, "logins", words, address=address, is_bad=True)


def _limited(rows: Any, question: Question, at: str, who: str, machine: str) -> Any:
    """Rows of the time and the person asked for. The named columns are those of `rows`; `machine` may be ""."""
    if question.newest:
        rows = rows.filter(**{f"{at}__lt": question.newest})
    if question.since:
        rows = rows.filter(**{f"{at}__gte": question.since})
    if question.who:
        rows = rows.filter(**{who: question.who})
    if question.machine and machine:
        rows = rows.filter(**{f"{machine}__icontains": question.machine})
    return rows


def _link(number: int) -> str:
    return reverse("install", args=[number])
