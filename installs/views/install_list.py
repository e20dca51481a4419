"""The list of installs, on a page and as CSV."""

import csv
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import localtime, now
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dodaiweb.stored_words import told
from installs import finding, overview
from installs.attention import CAUSES
from installs.models import Install
from installs.words import done_label

INSTALLS_A_PAGE = 50
ROWS_AT_ONCE = 500
COLUMNS = (
    "number", "machine", "image", "method", "state", "cause", "error", "left_behind", "asked_by", "asked_at",
    "started_at", "ended_at", "os_called_at", "seconds", "retry_of",
    "fallback", "confirmed_by",
)  # fmt: skip

seeing = permission_required("machines.view_machine", raise_exception=True)


@require_safe
@never_cache
@seeing
def installs(request: HttpRequest) -> HttpResponse:
    filters = finding.filters_from(request.GET)
    rows = finding.found(filters).select_related("machine__site", "image").defer(*overview.NOT_LISTED)
    page = Paginator(rows, INSTALLS_A_PAGE).get_page(request.GET.get("page"))
    choices = finding.choices()
    return render(request, "installs/list.html", {
        "page": page,
        "rows": overview.rows_of(list(page.object_list), now=now()),
        "filters": filters,
        "states": finding.STATES,
        "counts": finding.counts(finding.matching(filters)),
        "choices": choices,
        "people": {name: told(name) for name in choices["people"]},
        "causes": CAUSES,
        "done_label": done_label,
    })  # fmt: skip


@require_safe
@never_cache
@seeing
def installs_csv(request: HttpRequest) -> HttpResponse:
    """All installs that the filters let through; no cell can be taken for a formula."""
    rows = finding.found(finding.filters_from(request.GET)).select_related("machine", "image")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="installs-{localtime():%Y-%m-%d}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    for install in rows.defer(*overview.NOT_LISTED).iterator(ROWS_AT_ONCE):
        writer.writerow([_harmless(value) for value in _values(install)])
    return response


def _values(install: Install) -> tuple[Any, ...]:
    took = (install.ended_at - install.queued_at).total_seconds() if install.ended_at else ""
    times = (install.queued_at, install.started_at, install.ended_at, install.confirmed_at)
    asked, started, ended, called = (localtime(at).isoformat(timespec="seconds") if at else "" for at in times)
    image = install.image.name if install.image else ""
    return (
        install.pk, install.machine.name, image, install.method, install.state, install.cause, install.error,
        install.left_behind, install.requested_by, asked, started, ended, called, took, install.retry_of_id or "",
        install.fallback, install.confirmed_by,
    )  # fmt: skip


def _harmless(value: Any) -> Any:
    """Spreadsheets take a text that begins like this for a formula, and machines wrote some of these texts."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
