"""Sizes, durations and times in words, the same on every page and in every command."""

from datetime import datetime, timedelta

from django.utils import timezone

UNKNOWN = "\N{EN DASH}"
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(count: int | None) -> str:
    """`41 MB`, `1.5 GB`: decimal units, as disks are sold by. An en dash when nobody knows."""
    if count is None:
        return UNKNOWN
    value, unit = _scaled(count)
    return f"{_three_digits(value)} {UNITS[unit]}" if unit else f"{count} bytes"


def share_of(done: int, total: int) -> str:
    """`41 of 62 MB`: both in the unit of the total."""
    unit = _scaled(total)[1]
    if not unit:
        return f"{done} of {total} bytes"
    return f"{_three_digits(done / 1000**unit)} of {_three_digits(total / 1000**unit)} {UNITS[unit]}"


def duration(value: timedelta | float | None, *, exact: bool = False) -> str:
    """`2 s`, `1 min 12 s`, `3 h 5 min`, `2 days`; with `exact` also `0.4 s` below ten seconds."""
    if value is None:
        return UNKNOWN
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    seconds = max(seconds, 0.0)
    if exact and seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _pair(whole, 60, "min", 1, "s")
    if whole < 48 * 3600:
        return _pair(whole, 3600, "h", 60, "min")
    return f"{whole // 86400} days"


def ago(moment: datetime | None, *, now: datetime | None = None) -> str:
    """How long ago, with one unit only: `12 s`, `5 min`, `3 h`, `2 days`. `never` for None."""
    if moment is None:
        return "never"
    seconds = max(0, round(((now or timezone.now()) - moment).total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"


def clock(moment: datetime | None, *, now: datetime | None = None) -> str:
    """`05:58:10 UTC` today, `21 Nov 05:58 UTC` on another day, in the time zone of the settings."""
    if moment is None:
        return UNKNOWN
    local = timezone.localtime(moment)
    today = timezone.localtime(now or timezone.now())
    zone = local.tzname()
    if local.date() == today.date():
        return f"{local:%H:%M:%S} {zone}"
    if local.year == today.year:
        return f"{local.day} {local:%b %H:%M} {zone}"
    return f"{local.day} {local:%b %Y %H:%M} {zone}"


def number_word(count: int) -> str:
    """`three` up to twelve, digits after that."""
    words = "no one two three four five six seven eight nine ten eleven twelve".split()
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


def _pair(whole: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = whole % big // small
    return f"{whole // big} {big_name} {rest} {small_name}" if rest else f"{whole // big} {big_name}"
