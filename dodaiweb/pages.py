"""The Jinja2 environment of the HTML pages. Scripts for machines have another one: installs/scripts.py."""

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.contrib.messages import get_messages
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext, ngettext, npgettext, pgettext
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from dodaiweb import formats
from dodaiweb.menu import url_if
from dodaiweb.stored_words import told
from installs.operation_words import failed_words, going_on_words, subject

DRAWING = re.compile(r"<path[^>]*>")


def environment(**options: Any) -> Environment:
    """Autoescaped by Django's backend; a name that does not exist is an error."""
    own = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True, "extensions": ["jinja2.ext.i18n"]}
    env = Environment(**options | own)  # noqa: S701
    env.install_gettext_callables(gettext, ngettext, newstyle=True, pgettext=pgettext, npgettext=npgettext)  # type: ignore[attr-defined]
    env.globals.update(
        static=static, url=url, url_if=url_if, icon=icon, query=query, get_messages=get_messages, now=timezone.now,
        none=None, get_language=get_language, languages=settings.LANGUAGES,
    )  # fmt: skip
    env.filters.update(
        bytes=formats.size, duration=formats.duration, ago=ago, localtime=localtime, clock=formats.clock,
        elapsed=elapsed, intcomma=grouped, number_word=formats.number_word, speed=formats.speed,
        told=told, subject=subject, failed_as=failed_words, going_on=going_on_words,
    )  # fmt: skip
    return env


def url(name: str, *args: Any) -> str:
    return reverse(name, args=args)


@cache
def icon(name: str, size: int = 18, extra: str = "") -> Markup:
    """A Tabler icon, drawn in the colour of the text around it; it says nothing to a screen reader."""
    drawing = (Path(settings.BASE_DIR) / "static" / "icons" / f"{name}.svg").read_text()
    paths = Markup("").join(Markup(path) for path in DRAWING.findall(drawing) if 'stroke="none"' not in path)  # noqa: S704
    return Markup(
        '<svg class="i {}" width="{}" height="{}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{}</svg>'
    ).format(extra, size, size, paths)


def query(request: HttpRequest, **changes: object) -> str:
    """The address of this page with some of its parameters changed; None or "" removes one."""
    values = {name: request.GET.getlist(name) for name in request.GET}
    for name, value in changes.items():
        values[name] = [] if value in (None, "") else [str(value)]
    return "?" + urlencode([(name, value) for name, given in values.items() for value in given if value])


def ago(moment: datetime | None) -> Markup:
    """How long ago in words that static/js/dodai.js keeps true while the page is open."""
    if moment is None:
        return Markup("never")
    text = Markup('<time datetime="{}" data-ago title="{}">{}</time>')
    return text.format(moment.isoformat(), formats.clock(moment), formats.ago(moment))


def elapsed(moment: datetime) -> Markup:
    """The time since `moment`, counted on by the page itself."""
    text = Markup('<time datetime="{}" data-elapsed title="since {}">{}</time>')
    return text.format(moment.isoformat(), formats.clock(moment), formats.duration(timezone.now() - moment))


def localtime(moment: datetime | None) -> Markup:
    """A time of day with its zone."""
    if moment is None:
        return escape(formats.UNKNOWN)
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), formats.clock(moment))


def grouped(number: int | str) -> str:
    """`10,000`, in every language: Django groups no digits in Japanese."""
    return intcomma(number, use_l10n=False)
