"""Sizes, durations and times in words, the same on every page and in every command, in the language that is spoken."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

UNKNOWN = "\N{EN DASH}"
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(count: int | None) -> str:
    """`41 MB`, `1.5 GB`: decimal units, as disks are sold by. An en dash when nobody knows."""
    if count is None:
        return UNKNOWN
    value, unit = _scaled(count)
    if not unit:
        return ngettext("%(n)s byte", "%(n)s bytes", count) % {"n": count}
    return f"{_three_digits(value)} {UNITS[unit]}"


def speed(mbps: int) -> str:
    """Of a network card: 100 Mb/s, 2.5 Gb/s, 25 Gb/s."""
    if mbps < 1000:
        return _("%(speed)s Mb/s") % {"speed": mbps}
    return _("%(speed)s Gb/s") % {"speed": f"{mbps / 1000:g}"}


def share_of(done: int, total: int) -> str:
    """`41 of 62 MB`: both in the unit of the total."""
    unit = _scaled(total)[1]
    if not unit:
        return _("%(done)s of %(total)s bytes") % {"done": done, "total": total}
    amounts = {"done": _three_digits(done / 1000**unit), "total": _three_digits(total / 1000**unit)}
    return _("%(done)s of %(total)s %(unit)s") % {**amounts, "unit": UNITS[unit]}


def duration(value: timedelta | float | None, *, exact: bool = False) -> str:
    """`2 s`, `1 min 12 s`, `3 h 5 min`, `2 days`; with `exact` also `0.4 s` below ten seconds."""
    if value is None:
        return UNKNOWN
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = max(seconds, 0.0)
    if exact and seconds < 9.95:
        return _("%(n)s s") % {"n": f"{seconds:.1f}"}
    whole = round(seconds)
    if whole < 60:
        return _("%(n)s s") % {"n": whole}
    if whole < 3600:
        return _pair(_("%(n)s min"), whole // 60, _("%(n)s s"), whole % 60)
    if whole < 48 * 3600:
        return _pair(_("%(n)s h"), whole // 3600, _("%(n)s min"), whole % 3600 // 60)
    return _("%(n)s days") % {"n": whole // 86400}


def ago(moment: datetime | None, *, now: datetime | None = None) -> str:
    """How long ago, with one unit only: `12 s`, `5 min`, `3 h`, `2 days`. `never` for None."""
    if moment is None:
        return _("never")
    seconds = max(0, round(((now or timezone.now()) - moment).total_seconds()))
    if seconds < 90:
        return _("%(n)s s") % {"n": seconds}
    if seconds < 90 * 60:
        return _("%(n)s min") % {"n": seconds // 60}
    if seconds < 48 * 3600:
        return _("%(n)s h") % {"n": seconds // 3600}
    return _("%(n)s days") % {"n": seconds // 86400}


def clock(moment: datetime | None, *, now: datetime | None = None) -> str:
    """`05:58:10 UTC` today, `21 Nov 05:58 UTC` on another day, in the time zone of the settings."""
    if moment is None:
        return UNKNOWN
    local = timezone.localtime(moment)
    today = timezone.localtime(now or timezone.now())
    if local.date() == today.date():
        return f"{local:%H:%M:%S} {local.tzname()}"
    # The letters of Django's date filter: day, month, year.
    day = pgettext("date", "j M") if local.year == today.year else pgettext("date", "j M Y")
    return f"{date_format(local, day)} {local:%H:%M} {local.tzname()}"


def number_word(count: int) -> str:
    """`three` up to twelve, digits after that."""
    words = _("no one two three four five six seven eight nine ten eleven twelve").split()
    return words[count] if count < len(words) else str(count)


def _scaled(count: int) -> tuple[float, int]:
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return value, unit


def _three_digits(value: float) -> str:
    if value >= 9.95:
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0")


def _pair(big: str, number: int, small: str, rest: int) -> str:
    first = big % {"n": number}
    return f"{first} {small % {'n': rest}}" if rest else first
