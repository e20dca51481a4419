"""One verb for many machines: whom it concerns, whom it cannot concern and why, and what came of each."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from machines.actions import Refused
from machines.lifecycle import NotAllowed, State
from machines.models import Machine

LIMIT = 1000  # machines in one request
USED = frozenset({State.IN_USE, State.WARM})
OUT_OF_SERVICE = frozenset({State.ASIDE, State.BROKEN, State.RETIRED, State.RELEASING, State.ERASING})
TYPED_ABOVE = 5  # machines: more than that are confirmed by typing their number


@dataclass(frozen=True)
class Result:
    """What came of it for one machine. `path` leads to where it goes on."""

    machine: str
    is_done: bool
    words: str
    path: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def chosen(asked: QueryDict) -> list[Machine]:
    """Those that `machines=1,2` or `machines=1&machines=2` name, by name; unknown numbers are left out.

    Raises Refused for more than LIMIT.
    """
    numbers = {word for given in asked.getlist("machines") for word in given.split(",") if word.isdecimal()}
    ids = {int(word) for word in numbers if len(word) < 19}
    if len(ids) > LIMIT:
        raise Refused(
            _("These are %(count)s machines: choose at most %(limit)s.") % {"count": len(ids), "limit": LIMIT}
        )
    known = Machine.objects.select_related("site", "type", "cluster", "bmc")
    return list(known.filter(pk__in=ids).order_by("name"))


def used(machines: Iterable[Machine]) -> list[Machine]:
    return [machine for machine in machines if machine.state in USED]


def each(machines: Iterable[Machine], verb: Callable[[Machine], str]) -> list[Result]:
    """Do it to one after the other. What cannot be done to one is told, and does not keep the others from it."""
    return [_result(machine, verb) for machine in machines]


def _result(machine: Machine, verb: Callable[[Machine], str]) -> Result:
    try:
        return Result(machine.name, True, verb(machine))
    except (Refused, NotAllowed) as exc:
        return Result(machine.name, False, str(exc))


@dataclass(frozen=True)
class Confirmation:
    """What has to be typed before something is done that cannot be undone."""

    count: int
    names: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        return self.count > TYPED_ABOVE or bool(self.names)

    def problem(self, asked: QueryDict) -> str:
        """Why what was typed does not confirm it; "" when it does."""
        if not self.is_needed:
            return ""
        if asked.get("typed_count", "").strip() != str(self.count):
            return _("Type the number of machines, %(count)s, to say that you mean all of them.") % {
                "count": self.count
            }
        typed = set(asked.get("typed_names", "").replace(",", " ").split())
        if self.names and typed != set(self.names):
            names = {"names": " ".join(self.names)}
            return _("Type the names of these too, which are in use or hold data: %(names)s.") % names
        return ""
