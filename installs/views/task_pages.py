"""The page by which an operator installs a machine by hand, and its buttons. Made for a phone in a machine room."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from installs import by_hand, checklist, timeline
from installs.actions import Refused
from installs.leaving import disk_of
from installs.methods import METHODS
from installs.models import Event, Install
from installs.words import words_for
from machines import hardware

seeing = permission_required("machines.view_machine", raise_exception=True)
operating = permission_required("machines.operate_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def task(request: HttpRequest, number: int) -> HttpResponse:
    known = Install.objects.select_related("machine__site", "machine__type", "machine__bmc", "image", "retry_of")
    found = _by_operator(get_object_or_404(known, pk=number))
    events = list(found.events.all())
    marks = timeline.timeline(found, events)
    taken = next((event for event in events if event.name == "taken"), None)
    frozen = found.plan["image"]
    return render(request, "installs/task.html", {
        "install": found,
        "machine": found.machine,
        "is_open": by_hand.is_open(found),
        "words": words_for(found, marks, now=now()),
        "taken": taken,
        "since": taken.at if taken else found.started_at or found.queued_at,
        "checklist": checklist.html(frozen["metadata"]["checklist"], with_ticks=True),
        "disk": disk_of(found),
        "disks": list(found.machine.disks.all()),
        "cards": list(found.machine.interfaces.all()),
        "power": hardware.power_words(found.machine),
        "notes": [event for event in events if event.kind == Event.Kind.NOTE and event.by],
        "text_characters": by_hand.TEXT_CHARACTERS,
    })  # fmt: skip


@require_POST
@operating
def take(request: HttpRequest, number: int) -> HttpResponse:
    return _say(request, number, lambda install, by: by_hand.take(install, by=by))


@require_POST
@operating
def note(request: HttpRequest, number: int) -> HttpResponse:
    return _say(request, number, lambda install, by: by_hand.note(install, request.POST.get("text", ""), by=by))


@require_POST
@operating
def done(request: HttpRequest, number: int) -> HttpResponse:
    said = _("Thank you: %(name)s counts as installed.")
    return _say(request, number, lambda install, by: by_hand.done(install, by=by), said=said)


@require_POST
@operating
def cannot(request: HttpRequest, number: int) -> HttpResponse:
    reason, is_untouched = request.POST.get("reason", ""), request.POST.get("untouched") == "yes"
    said = _("Noted: this install of %(name)s fails in your words.")

    def say(install: Install, by: str) -> None:
        by_hand.cannot(install, reason, is_untouched=is_untouched, by=by)

    return _say(request, number, say, said=said)


def _say(request: HttpRequest, number: int, verb: Callable[[Install, str], None], *, said: str = "") -> HttpResponse:
    found = _by_operator(get_object_or_404(Install.objects.select_related("machine"), pk=number))
    try:
        verb(found, request.user.get_username())
    except Refused as exc:
        messages.error(request, str(exc))
    else:
        if said:
            messages.success(request, said % {"name": found.machine.name})
    return redirect("task", found.pk)


def _by_operator(install: Install) -> Install:
    method = METHODS.get(install.method)
    if method is None or not method.by_operator:
        raise Http404
    return install
