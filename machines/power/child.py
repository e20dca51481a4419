"""One call to a BMC in a process of its own: pyghmi's globals survive no dead BMC and no second log-in."""

from collections.abc import Callable
from typing import Any

from machines import child
from machines.child import die_with, only_for
from machines.power.base import NeedsOperator, PowerError, PowerRefused

__all__ = ["DEADLINE_SECONDS", "call_in_child", "die_with", "only_for"]

DEADLINE_SECONDS = 7.0
BMC = child.Kind("BMC", DEADLINE_SECONDS, (PowerError, PowerRefused, NeedsOperator))


def call_in_child(function: Callable[[], Any], *, whom: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """What `function` returns (something that pickles). Raises PowerError after `seconds`, or what it raised."""
    return child.call_in_child(function, BMC, whom=whom, seconds=seconds)
