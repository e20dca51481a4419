"""The page of one machine, and the buttons on it that are about the machine itself."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dodaiweb import asked
from installs import logs, overview
from installs.models import Install
from installs.words import done_label
from machines import actions, hardware, upkeep, verbs
from machines.console import console_tail
from machines.findings import findings
from machines.history import Change, changes_of, words_of
from machines.models import Cluster, Machine
from machines.views.pressing import press

INSTALLS_SHOWN, COMMANDS_SHOWN, CHANGES_SHOWN = 20, 8, 20

seeing = permission_required("machines.view_machine", raise_exception=True)
operating = permission_required("machines.operate_machine", raise_exception=True)
ruling = permission_required("machines.delete_machine", raise_exception=True)  # of admins only


class AsideForm(forms.Form):
    """Why a machine is set aside, and until when."""

    why = forms.CharField(max_length=255, error_messages={"required": gettext_lazy("Say why, so that others know.")})
    until = forms.DateTimeField(required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until and until <= now():
            raise forms.ValidationError(_("This time is over: choose a later one, or none."))
        return until


@require_safe
@never_cache
@seeing
def machine(request: HttpRequest, name: str) -> HttpResponse:
    return _show(request, _named(name))


@require_POST
@operating
def set_aside(request: HttpRequest, name: str) -> HttpResponse:
    found, form = _named(name), AsideForm(request.POST)
    if not form.is_valid():
        return _show(request, found, aside_form=form, status=422)
    by = request.user.get_username()
    return _press(request, found, lambda: actions.set_aside(found, by=by, **form.cleaned_data), _("is set aside"))


@require_POST
@operating
def take_back(request: HttpRequest, name: str) -> HttpResponse:
    found = _named(name)
    return _press(request, found, lambda: upkeep.take_back(found), _("is taken back"))


@require_POST
@operating
def notes(request: HttpRequest, name: str) -> HttpResponse:
    """Refused, with what was typed still there, when somebody else wrote them meanwhile."""
    found, typed = _named(name), request.POST.get("notes", "")
    if notes_digest(found.notes) != request.POST.get("was", ""):
        messages.error(request, _("Somebody changed the notes meanwhile: see theirs, then save yours again."))
        return _show(request, found, typed_notes=typed, status=409)
    return _press(request, found, lambda: upkeep.write_notes(found, typed), _("has its notes saved"))


@require_POST
@operating
def cluster(request: HttpRequest, name: str) -> HttpResponse:
    found, number = _named(name), request.POST.get("cluster", "")
    chosen = get_object_or_404(Cluster, pk=asked.number(number)) if number else None
    said = _("is in the cluster %(cluster)s now") % {"cluster": chosen} if chosen else _("is in no cluster now")
    return _press(request, found, lambda: upkeep.choose_cluster(found, chosen), said)


@require_POST
@ruling
def protection(request: HttpRequest, name: str) -> HttpResponse:
    found, protected = _named(name), request.POST.get("protect") == "yes"
    said = _("is protected now") if protected else _("is no longer protected")
    return _press(request, found, lambda: upkeep.protect(found, protected=protected), said)


@require_POST
@ruling
def retire(request: HttpRequest, name: str) -> HttpResponse:
    found = _named(name)
    return _press(request, found, lambda: upkeep.retire(found), _("is retired"))


@require_POST
@ruling
def bring_back(request: HttpRequest, name: str) -> HttpResponse:
    found = _named(name)
    return _press(request, found, lambda: upkeep.bring_back(found), _("is in service again: inspect it next"))


def notes_digest(text: str) -> str:
    """Names the notes that a page showed."""
    return sha256(text.encode()).hexdigest()[:16]


def _named(name: str) -> Machine:
    return get_object_or_404(
        Machine.objects.select_related("site", "type", "cluster__vlan", "bmc__credentials"), name=name
    )


def _press(request: HttpRequest, found: Machine, verb: Callable[[], object], said: str) -> HttpResponse:
    return press(request, found, verb, _("%(name)s %(what)s.") % {"name": found.name, "what": said})


def _show(
    request: HttpRequest, found: Machine, *, aside_form: AsideForm | None = None, typed_notes: str | None = None,
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    history = Install.objects.filter(machine=found).select_related("image")[:INSTALLS_SHOWN]
    console = console_tail(found)
    values = {
        "machine": found,
        "power": hardware.power_words(found),
        "possible": verbs.possible(found),
        "power_actions": verbs.power_actions(found),
        "findings": findings(found),
        "disks": [(disk, hardware.disk_contents(disk)) for disk in found.disks.all()],
        "interfaces": found.interfaces.all(),
        "commands": found.power_commands.all()[:COMMANDS_SHOWN],
        "history": overview.with_marks(list(history)),
        "changes": changes_of(found, limit=CHANGES_SHOWN),
        "live": Install.objects.live().filter(machine=found).first(),
        "done_label": done_label,
        "console": None if console is None else logs.last_lines(console),
        "clusters": Cluster.objects.select_related("vlan"),
        "aside_form": aside_form or AsideForm(),
        "aside_is_over": bool(found.aside_until and found.aside_until <= now()),
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
