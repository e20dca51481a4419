"""Buttons of a machine's page: taking it from its owner, bringing that back, erasing it, moving it to a cluster."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from dodaiweb import asked
from dodaiweb.views.machine_page import named, show
from installs.actions import Refused
from installs.models import Install
from installs.releasing import erasing, release
from machines.models import Cluster, Machine

installing = permission_required("machines.install_machine", raise_exception=True)


class TypedForm(forms.Form):
    """The name of the machine, typed as before its disk is wiped."""

    typed = forms.CharField(required=False)

    def __init__(self, data: Any, *, name: str) -> None:
        super().__init__(data)
        self.name = name

    def clean_typed(self) -> str:
        typed = str(self.cleaned_data["typed"]).strip()
        if typed != self.name:
            raise forms.ValidationError(_("Type the name of the machine, %(name)s.") % {"name": self.name})
        return typed


class ReleaseForm(TypedForm):
    keep_minutes = forms.IntegerField(
        required=False, min_value=0, max_value=release.LONGEST_MINUTES,
        error_messages={"invalid": gettext_lazy("Write minutes, or nothing.")},
    )  # fmt: skip


@require_POST
@installing
def release_machine(request: HttpRequest, name: str) -> HttpResponse:
    found = named(name)
    form = ReleaseForm(request.POST, name=found.name)
    if not form.is_valid():
        return show(request, found, decisions={"release": form}, status=422)
    by, minutes = request.user.get_username(), form.cleaned_data["keep_minutes"]
    return _begun(request, found, lambda: release.release(found, by=by, keep_minutes=minutes))


@require_POST
@installing
def undo_release(request: HttpRequest, name: str) -> HttpResponse:
    found, by = named(name), request.user.get_username()
    return _begun(request, found, lambda: release.undo_release(found, by=by))


@require_POST
@installing
def erase(request: HttpRequest, name: str) -> HttpResponse:
    found = named(name)
    form = TypedForm(request.POST, name=found.name)
    if not form.is_valid():
        return show(request, found, decisions={"erase": form}, status=422)
    return _begun(request, found, lambda: erasing.erase(found, by=request.user.get_username()))


@require_POST
@installing
def choose_cluster(request: HttpRequest, name: str) -> HttpResponse:
    """Its ports go along, where they are entered; where none is to be moved that is done at once."""
    found, number = named(name), request.POST.get("cluster", "")
    chosen = get_object_or_404(Cluster, pk=asked.number(number)) if number else None
    said = _("is in the cluster %(cluster)s now") % {"cluster": chosen} if chosen else _("is in no cluster now")
    sentence = _("%(name)s %(what)s.") % {"name": found.name, "what": said}
    return _begun(request, found, lambda: release.move_to(found, chosen, by=request.user.get_username()), sentence)


def _begun(request: HttpRequest, found: Machine, begin: Callable[[], Install | None], said: str = "") -> HttpResponse:
    """To the page of what was begun; back with `said` where it is done already, or with why it cannot be."""
    try:
        if made := begin():
            return redirect("install", made.pk)
        messages.success(request, said)
    except Refused as exc:
        messages.error(request, str(exc))
    return redirect("machine", found.name)
