"""One call to a switch in a process of its own, with a deadline and a limit to its memory."""

from collections.abc import Callable
from typing import Any

from machines import child
from machines.network.base import NeedsOperator, NetworkError, NetworkRefused

MEMORY_MIB = 192  # a switch that talks without end ends its call, and nothing else
SWITCH = child.Kind(
    "switch", 7.0, (NetworkError, NetworkRefused, NeedsOperator),
    not_there="is its address right, does it run?", memory_mib=MEMORY_MIB,
)  # fmt: skip


def call_in_child(function: Callable[[], Any], *, whom: str, seconds: float) -> Any:
    """What `function` returns (something that pickles). Raises NetworkError after `seconds`, or what it raised."""
    return child.call_in_child(function, SWITCH, whom=whom, seconds=seconds)
