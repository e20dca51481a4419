"""The page of one install, and what can be downloaded from it."""

from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.timezone import now
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from installs import again, leaving, logs, overview, timeline
from installs.advice import advice_for
from installs.attention import cause_words
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Install
from installs.operation_words import noun
from installs.words import event_words, words_for
from machines import hardware
from machines.console import WHOLE_BYTES, console_tail

seeing = permission_required("machines.view_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def install(request: HttpRequest, number: int) -> HttpResponse:
    known = Install.objects.select_related("machine__site", "machine__cluster", "machine__bmc", "image", "retry_of")
    found = get_object_or_404(known, pk=number)
    moment = now()
    events = list(found.events.all())
    usual = timeline.usual_for(found)
    marks = timeline.timeline(found, events, usual)
    ahead = overview.place_in_queue(found) if found.state == State.QUEUED else 0
    console = console_tail(found.machine) if _has_console(found) else None
    return render(request, "installs/detail.html", {
        "install": found,
        "machine": found.machine,
        "words": words_for(found, marks, now=moment, usual=usual, ahead=ahead),
        "noun": noun(found),
        "cause": cause_words(found.cause),
        "marks": marks,
        "late": {mark.name for mark in marks if timeline.is_late(mark, now=moment)},
        "step": marks.index(timeline.current(marks)) + 1,
        "percent": int(100 * timeline.share_done(marks, found)),
        "usual": usual,
        "method": METHODS.get(found.method),
        "methods": METHODS,
        "next_way": found.retries.filter(fallback__gt=0).only("pk", "method").first(),
        "advice": advice_for(found.cause) if found.cause else None,
        "detail": logs.last_lines(found.error_detail),
        "history": [(event, said) for event in events if (said := event_words(event))],
        "log": logs.install_log(found),
        "console": None if console is None else logs.last_lines(console),
        "power": hardware.power_words(found.machine),
        "retries": list(found.retries.order_by("pk").values_list("pk", "fallback")),
        "why_no_retry": again.why_not(found),
        "if_cancelled": leaving.if_cancelled(found) if found.is_live else "",
        "left_behind": [] if found.is_live or found.state == State.INSTALLED else leaving.left_behind(found),
    })  # fmt: skip


@require_safe
@never_cache
@seeing
def log(request: HttpRequest, number: int) -> HttpResponse:
    """Everything the installer wrote, as a file."""
    found = get_object_or_404(Install.objects.select_related("machine"), pk=number)
    text = logs.plain("".join(found.log.values_list("text", flat=True)))
    return _file(text, f"{found.machine.name}-{'install' if found.image_id else found.method}-{found.pk}.log")


@require_safe
@never_cache
@seeing
def console(request: HttpRequest, number: int) -> HttpResponse:
    """What the serial console of its machine said, as a file."""
    found = get_object_or_404(Install.objects.select_related("machine__site"), pk=number)
    text = console_tail(found.machine, limit_bytes=WHOLE_BYTES) if _has_console(found) else None
    if text is None:
        raise Http404
    return _file(logs.plain(text), f"{found.machine.name}-console.log")


def _file(text: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


def _has_console(found: Install) -> bool:
    """The console goes on after an install: with an older attempt it would show another one's words."""
    return found.is_live or not Install.objects.filter(machine=found.machine_id, pk__gt=found.pk).exists()
