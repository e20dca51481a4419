"""Puts ports back to where they were before an attempt, or a release, moved them: PortMove's rows know where."""

from collections.abc import Callable, Iterable

from installs.models import Install
from machines import cabling
from machines.models import Interface, PortMove
from machines.network.move import place

_WENT = (PortMove.State.MOVED, PortMove.State.ASTRAY, PortMove.State.MOVING)

Places = dict[Interface, int | None]


def has_moved(install: Install) -> bool:
    """Whether this attempt moved a port, is about to, or has asked people to."""
    states = (*_WENT, PortMove.State.READING, PortMove.State.ASKED)
    return PortMove.objects.filter(asked_by=str(install), state__in=states).exists()


def put_back(install: Install, *, check: Callable[[], None]) -> None:
    """Nobody is asked any more, and what this attempt moved is where it was. Raises NetworkError.

    Where only people can move a port they are asked, and nobody waits for them. `check` is that of `move_cards`.
    """
    _withdraw(install)
    cabling.stop_reading(by=str(install))
    if places := places_before([install]):
        cabling.move_cards(places, by=str(install), check=check)


def places_before(installs: Iterable[Install]) -> Places:
    """Where their ports were before the first of these attempts moved them."""
    rows = PortMove.objects.filter(asked_by__in=[str(each) for each in installs], state__in=_WENT)
    places: Places = {}
    for row in rows.select_related("interface__switch", "interface__machine__site", "switch").order_by("pk"):
        card = row.interface
        if card and (card.switch_id, card.switch_port) == (row.switch_id, row.port):
            places.setdefault(card, row.before)
    return places


def could_not(install: Install) -> bool:
    """Whether a port that this attempt moved is not where it was before, and nobody is asked to put it there."""
    first: dict[str, PortMove] = {}
    for port, row in _moves(install):
        first.setdefault(port, row)
    is_asked = any(row.asked_by == str(install) for row in cabling.open_moves(install.machine_id))
    return not is_asked and any(row.after != first[port].before for port, row in dict(_moves(install)).items())


def where_they_are(install: Install) -> str:
    """What was read last of the ports that this attempt moved."""
    words = (
        f"{port} {'may be' if row.state == PortMove.State.ASTRAY else 'is'} in {place(row.after)}"
        for port, row in dict(_moves(install)).items()
    )
    return ", ".join(words)


def _moves(install: Install) -> list[tuple[str, PortMove]]:
    """Ports that it moved, with the row of each move, in their order."""
    rows = PortMove.objects.filter(asked_by=str(install), state__in=_WENT).select_related("switch").order_by("pk")
    return [(f"{row.switch} port {row.port}", row) for row in rows]


def _withdraw(install: Install) -> None:
    if any(row.asked_by == str(install) for row in cabling.open_moves(install.machine_id)):
        cabling.withdraw(install.machine_id)
