"""Numbers and days as addresses and forms carry them: what is none of these is nothing, and never a fault."""

from datetime import date

from django.utils.dateparse import parse_date

MOST_DIGITS = 18  # fits a row's number; Python itself refuses thousands of digits


def number(text: str) -> int:
    """The number of a row; 0, which no row has, for what is none."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else 0


def day(text: str) -> date | None:
    """A day whose midnights exist in every time zone, or None."""
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return found if found and is_usual(found) else None


def is_usual(moment: date) -> bool:
    """Whether one may add a day or go to another time zone: the first and the last year are too near the ends."""
    return date.min.year < moment.year < date.max.year
