"""Unknown machines that asked how to boot: into the inventory, to a machine that is there, or away."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dodaiweb import deeds
from machines import adopting
from machines.actions import Refused
from machines.models import Machine, Sighting

SIGHTINGS_A_PAGE = 50
MACHINES_OFFERED = 500  # names to choose from; any other can be typed

adding = permission_required("machines.add_machine", raise_exception=True)


class MachineForm(forms.ModelForm):
    """What the sighting does not tell of its machine."""

    class Meta:
        model = Machine
        fields = ("name", "serial", "uuid", "cluster", "rack", "unit", "owner", "notes")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        cluster = self.fields["cluster"]
        assert isinstance(cluster, forms.ModelChoiceField)
        cluster.empty_label = _("In no cluster")


@require_safe
@never_cache
@permission_required("machines.view_sighting", raise_exception=True)
def sightings(request: HttpRequest) -> HttpResponse:
    page = Paginator(Sighting.objects.all(), SIGHTINGS_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "machines/sightings.html", {"page": page})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@adding
def sighting(request: HttpRequest, number: int) -> HttpResponse:
    """The form that makes a machine of it."""
    seen = Sighting.objects.filter(pk=number).first()
    if seen is None:
        return _gone(request)
    if request.method != "POST":
        return _show(request, seen, MachineForm(initial={"serial": seen.serial, "uuid": seen.uuid}))
    form = MachineForm(request.POST)
    if not form.is_valid():
        return _show(request, seen, form, status=422)
    try:
        made = adopting.adopt(seen, **form.cleaned_data)
    except Refused as exc:
        messages.error(request, str(exc))
        return _show(request, seen, form, status=409)
    messages.success(request, _("%(name)s is in the inventory. Enter its BMC next, then test it.") % {"name": made})
    return redirect("machine", made.name)


@require_POST
@adding
def add_card(request: HttpRequest, number: int) -> HttpResponse:
    """The MAC is of a machine that is known already."""
    seen = Sighting.objects.filter(pk=number).first()
    if seen is None:
        return _gone(request)
    try:
        known = adopting.add_card(seen, name=request.POST.get("machine", ""))
    except Refused as exc:
        messages.error(request, str(exc))
        return redirect("sighting", seen.pk)
    messages.success(request, _("%(mac)s is a card of %(name)s now.") % {"mac": seen.mac, "name": known})
    return redirect("machine", known.name)


@require_POST
@adding
def dismiss(request: HttpRequest, number: int) -> HttpResponse:
    seen = Sighting.objects.filter(pk=number).first()
    if seen is None:
        return _gone(request)
    deeds.note(request.user, deeds.Deed.FORGOT, seen)
    adopting.dismiss(seen)
    messages.success(request, _("%(mac)s is forgotten. It comes back if it asks again.") % {"mac": seen.mac})
    return redirect("sightings")


def _gone(request: HttpRequest) -> HttpResponse:
    """It was open on somebody's page meanwhile: no fault of theirs."""
    messages.error(request, _("This sighting is gone: somebody else entered or forgot it."))
    return redirect("sightings")


def _show(request: HttpRequest, seen: Sighting, form: MachineForm, *, status: int = 200) -> HttpResponse:
    names = Machine.objects.exclude(state="retired").values_list("name", flat=True)[:MACHINES_OFFERED]
    values: dict[str, Any] = {"seen": seen, "form": form, "names": names}
    return render(request, "machines/sighting.html", values, status=status)
