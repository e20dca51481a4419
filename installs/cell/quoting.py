"""Filters of answer files: each writes a value so that it stays one value where it stands."""

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

UNSEEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]")


def sh(value: object) -> str:
    """One word of a shell command."""
    return shlex.quote(str(value))


def yaml(value: object) -> str:
    """A YAML value: JSON is one."""
    return json.dumps(value)


def word(value: object) -> str:
    """A value that goes to the end of its line. Raises ValueError where it would begin another."""
    text = str(value)
    if UNSEEN.search(text):
        raise ValueError("a value has several lines or control characters; it must stand on one line")
    return text


FILTERS: dict[str, Callable[..., Any]] = {"sh": sh, "yaml": yaml, "word": word}
