"""The page System."""

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dodaiweb import system


@require_safe
@never_cache
@permission_required("machines.view_machine", raise_exception=True)
def show(request: HttpRequest) -> HttpResponse:
    sections = system.sections()
    unwell = [part for section in sections for part in section.parts if part.level in (system.BAD, system.HOLD)]
    return render(request, "system.html", {"sections": sections, "unwell": unwell})
