"""What people decide about a machine on its page: aside, broken, in use already, reserved, protected, retired."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from dodaiweb.views.machine_page import named, operating, press_of, show
from machines import actions, upkeep

ruling = permission_required("machines.delete_machine", raise_exception=True)  # of admins only


class WhyForm(forms.Form):
    why = forms.CharField(max_length=255, error_messages={"required": gettext_lazy("Say why, so that others know.")})


class UntilForm(forms.Form):
    until = forms.DateTimeField(required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until and until <= now():
            raise forms.ValidationError(_("This time is over: choose a later one, or none."))
        return until


class AsideForm(WhyForm, UntilForm):
    """Why a machine is set aside, and until when."""


class AdoptForm(forms.Form):
    system = forms.CharField(
        max_length=127, error_messages={"required": gettext_lazy("Say what runs on it, like Debian 12.")}
    )


class ReserveForm(UntilForm):
    owner = forms.CharField(max_length=150, error_messages={"required": gettext_lazy("Say whom it is kept for.")})


@dataclass(frozen=True)
class Decision:
    """`do` gets the machine, who decided, and the cleaned fields; `said` goes on after the machine's name."""

    form: type[forms.Form]
    do: Callable[..., object]
    said: Any


DECISIONS = {
    "set_aside": Decision(
        AsideForm, lambda machine, by, **given: actions.set_aside(machine, by=by, **given), gettext_lazy("is set aside")
    ),
    "mark_broken": Decision(
        WhyForm, lambda machine, by, **given: upkeep.mark_broken(machine, by=by, **given),
        gettext_lazy("is marked as broken"),
    ),
    "adopt": Decision(
        AdoptForm, lambda machine, by, **given: upkeep.adopt_running(machine, **given),
        gettext_lazy("is in use now, and nothing of it was wiped"),
    ),
    "reserve": Decision(
        ReserveForm, lambda machine, by, **given: upkeep.reserve(machine, **given), gettext_lazy("is reserved")
    ),
}  # fmt: skip


@require_POST
@operating
def decide(request: HttpRequest, name: str, *, verb: str) -> HttpResponse:
    found, decision = named(name), DECISIONS[verb]
    form = decision.form(request.POST)
    if not form.is_valid():
        return show(request, found, decisions={verb: form}, status=422)
    by = request.user.get_username()
    return press_of(request, found, lambda: decision.do(found, by, **form.cleaned_data), str(decision.said))


@require_POST
@operating
def take_back(request: HttpRequest, name: str) -> HttpResponse:
    found = named(name)
    return press_of(request, found, lambda: upkeep.take_back(found), _("is taken back"))


@require_POST
@operating
def repaired(request: HttpRequest, name: str) -> HttpResponse:
    found = named(name)
    said = _("is to be erased next") if found.unerased else _("is repaired: inspect it next")
    return press_of(request, found, lambda: upkeep.repaired(found), said)


@require_POST
@operating
def give_free(request: HttpRequest, name: str) -> HttpResponse:
    """Nobody needs the reservation any more."""
    found = named(name)
    return press_of(request, found, lambda: upkeep.reserve(found, owner="", until=None), _("is no longer reserved"))


@require_POST
@ruling
def protection(request: HttpRequest, name: str) -> HttpResponse:
    found, protected = named(name), request.POST.get("protect") == "yes"
    said = _("is protected now") if protected else _("is no longer protected")
    return press_of(request, found, lambda: upkeep.protect(found, protected=protected), said)


@require_POST
@ruling
def retire(request: HttpRequest, name: str) -> HttpResponse:
    found = named(name)
    return press_of(request, found, lambda: upkeep.retire(found), _("is retired"))


@require_POST
@ruling
def bring_back(request: HttpRequest, name: str) -> HttpResponse:
    found = named(name)
    return press_of(request, found, lambda: upkeep.bring_back(found), _("is in service again: inspect it next"))
