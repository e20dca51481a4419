"""When a wave may begin installs: all day, or between two times of the day, in the time zone of this Dodai."""

from datetime import datetime, time, timedelta

from django.utils.timezone import localtime, make_aware


def is_open(window_from: time | None, window_to: time | None, moment: datetime) -> bool:
    """The begin belongs to the window, the end does not. One whose end is the earlier crosses midnight."""
    if window_from is None or window_to is None:
        return True
    clock = localtime(moment).time()
    if window_from < window_to:
        return window_from <= clock < window_to
    return clock >= window_from or clock < window_to


def opens_at(window_from: time, moment: datetime) -> datetime:
    """When it opens next, for a moment outside of it."""
    here = localtime(moment)
    opening = make_aware(datetime.combine(here.date(), window_from), here.tzinfo)
    if opening <= moment:
        opening = make_aware(datetime.combine(here.date() + timedelta(days=1), window_from), here.tzinfo)
    return opening
