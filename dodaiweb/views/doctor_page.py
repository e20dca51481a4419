"""The page of the check-up. It shows the newest row; a worker does the looking."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dodaiweb import checkups
from dodaiweb.doctor import words
from machines.models import Checkup


@require_safe
@never_cache
@permission_required("machines.view_machine", raise_exception=True)
def doctor(request: HttpRequest) -> HttpResponse:
    newest = Checkup.objects.exclude(ended_at=None).first()
    return render(request, "doctor.html", {
        "checkup": newest,
        "sentences": words.sentences(newest.findings) if newest else [],
        "under_way": Checkup.objects.filter(ended_at=None).exists(),
    })  # fmt: skip


@require_POST
@permission_required("machines.operate_machine", raise_exception=True)
def check_up(request: HttpRequest) -> HttpResponse:
    try:
        checkups.request(by=request.user.get_username())
    except checkups.Refused as exc:
        messages.error(request, str(exc))
    return redirect("doctor")
