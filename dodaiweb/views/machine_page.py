"""The page of one machine, and the buttons on it that are about the machine itself."""

from collections.abc import Callable
from hashlib import sha256

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from installs import logs, overview
from installs.erasing import words as erasure_words
from installs.models import Erasure, Install
from installs.words import done_label
from machines import cabling, hardware, upkeep, verbs
from machines.console import console_tail
from machines.findings import findings
from machines.history import Change, changes_of, words_of
from machines.models import Cluster, Machine
from machines.views.pressing import press

INSTALLS_SHOWN, COMMANDS_SHOWN, CHANGES_SHOWN, ERASURES_SHOWN = 20, 8, 20, 20

seeing = permission_required("machines.view_machine", raise_exception=True)
operating = permission_required("machines.operate_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def machine(request: HttpRequest, name: str) -> HttpResponse:
    return show(request, named(name))


@require_POST
@operating
def notes(request: HttpRequest, name: str) -> HttpResponse:
    """Refused, with what was typed still there, when somebody else wrote them meanwhile."""
    found, typed = named(name), request.POST.get("notes", "")
    if notes_digest(found.notes) != request.POST.get("was", ""):
        messages.error(request, _("Somebody changed the notes meanwhile: see theirs, then save yours again."))
        return show(request, found, typed_notes=typed, status=409)
    return press_of(request, found, lambda: upkeep.write_notes(found, typed), _("has its notes saved"))


def notes_digest(text: str) -> str:
    """Names the notes that a page showed."""
    return sha256(text.encode()).hexdigest()[:16]


def named(name: str) -> Machine:
    return get_object_or_404(
        Machine.objects.select_related("site", "type", "cluster__vlan", "bmc__credentials"), name=name
    )


def press_of(request: HttpRequest, found: Machine, verb: Callable[[], object], said: str) -> HttpResponse:
    return press(request, found, verb, _("%(name)s %(what)s.") % {"name": found.name, "what": said})


def show(
    request: HttpRequest, found: Machine, *, decisions: dict[str, Form] | None = None, typed_notes: str | None = None,
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    """`decisions`: forms of decisions.py that were sent and are wrong, by their verbs."""
    history = Install.objects.filter(machine=found).select_related("image")[:INSTALLS_SHOWN]
    console = console_tail(found)
    values = {
        "machine": found,
        "power": hardware.power_words(found),
        "possible": verbs.possible(found),
        "power_actions": verbs.power_actions(found),
        "findings": findings(found),
        "disks": [(disk, hardware.disk_contents(disk)) for disk in found.disks.all()],
        "interfaces": found.interfaces.select_related("switch"),
        "port_moves": cabling.open_moves(found.pk),
        "commands": found.power_commands.all()[:COMMANDS_SHOWN],
        "history": overview.with_marks(list(history)),
        "changes": changes_of(found, limit=CHANGES_SHOWN),
        "live": Install.objects.live().filter(machine=found).first(),
        "done_label": done_label,
        "console": None if console is None else logs.last_lines(console),
        "erasures": erasure_words.lines(Erasure.objects.filter(machine=found)[:ERASURES_SHOWN]),
        "undo_minutes": settings.UNDO_MINUTES,
        "clusters": Cluster.objects.select_related("vlan"),
        "decisions": decisions or {},
        "aside_is_over": bool(found.aside_until and found.aside_until <= now()),
        "reservation_is_over": bool(found.reserved_until and found.reserved_until <= now()),
        "notes_digest": notes_digest(found.notes),
        "typed_notes": typed_notes,
        "noted": _last_note(found),
        "zone": localtime().tzname(),
    }
    return render(request, "machines/detail.html", values, status=status)


def _last_note(found: Machine) -> Change | None:
    """Who changed the notes last, and when."""
    edits = found.history.filter(id=found.pk, history_changes__has_key="notes").order_by("-history_date")
    row = edits.first()
    return Change(row.history_date, row.history_by, words_of(row)) if row else None
