"""What a button of a machine's page does: one verb, what came of it in a sentence, and back to the page."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from machines import actions, lifecycle
from machines.models import Machine


def press(request: HttpRequest, machine: Machine, verb: Callable[[], object], said: str) -> HttpResponse:
    """Do it; `said` is shown where it was done, the refusal where not."""
    try:
        verb()
        messages.success(request, said)
    except (actions.Refused, lifecycle.NotAllowed) as exc:
        messages.error(request, str(exc))
    return redirect("machine", machine.name)
