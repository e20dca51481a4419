"""A check-up of everything around Dodai. Each check looks at one thing and yields what it found."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """One thing that is well, or is not. Its sentences stand in words.py."""

    code: str
    values: dict[str, Any] = field(default_factory=dict)


Check = Callable[[], Iterator[Finding]]


def run(checks: Sequence[Check]) -> list[Finding]:
    """What all checks find. One that breaks is a finding itself and keeps none of the others from looking."""
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except Exception as exc:
            logger.exception("the check %s broke", check.__name__)
            values = {"check": check.__name__.replace("_", " "), "error": type(exc).__name__}
            found.append(Finding("check-broke", values))
    return found
