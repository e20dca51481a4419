"""Sentences in tables: marked for translation where they stand, said in the reader's language when they are read."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext, ngettext

Text = str | tuple[str, str]


def P_(one: str, many: str) -> tuple[str, str]:
    """Marks a sentence that depends on `count`."""
    return one, many


def say(text: Text, values: Mapping[str, Any]) -> str:
    """The sentence with its values; as it stands where one of them is missing."""
    if isinstance(text, tuple):
        template = ngettext(*text, int(values.get("count", 0)) if str(values.get("count")).isdecimal() else 2)
    else:
        template = gettext(text) if text else ""
    try:
        return template % values
    except (KeyError, ValueError, TypeError):
        return template
