"""Ports of switches as they were read last, beside what was entered and what ought to be. Nothing is sent."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from machines.lifecycle import State
from machines.models import Interface, PortMove, Switch, Vlan

BEING_PARKED = (State.RELEASING, State.ERASING)
ENDED = (PortMove.State.MOVED, PortMove.State.PUT_BACK, PortMove.State.ASTRAY)


@dataclass(frozen=True)
class Port:
    """`vlan` and `wanted` are numbers, None for no VLAN; what nobody knows is told by `is_read` and `is_wanted`."""

    switch: Switch
    name: str
    card: Interface | None = None
    vlan: int | None = None
    is_read: bool = False
    read_at: datetime | None = None
    wanted: int | None = None
    is_wanted: bool = False
    problem: str = ""
    asked: PortMove | None = None
    """What waits for a person."""
    rivals: Sequence[Interface] = ()
    """Other cards that are entered for the same port."""

    @property
    def differs(self) -> bool:
        """Whether it was read in another VLAN than its machine's cluster is in."""
        return self.is_read and self.is_wanted and self.vlan != self.wanted


def problem_of(switch: Switch) -> str:
    """Why none of its ports could be read last time, "" where they could."""
    rows = [row for row in switch.read_report if isinstance(row, dict) and not row.get("port")]
    return str(rows[0].get("problem", "")) if rows else ""


def of_services(cards: Sequence[Interface]) -> list[Interface]:
    """Those of one machine's cards whose ports belong into a cluster's VLAN: cabled service cards, without the one that
    boots from the network unless there is no other.

    A switch without a list of ports is only written down: Dodai moves nothing on it.
    """
    service = [card for card in cards if card.role == Interface.Role.SERVICE and card.switch and card.switch_port]
    cabled = [card for card in service if card.switch and card.switch.ports.strip()]
    return [card for card in cabled if not card.is_pxe] or cabled


def ports_of(switches: Iterable[Switch]) -> list[Port]:
    """Every port that was entered or read, by switch. Three queries, however many there are."""
    known = {switch.pk: switch for switch in switches}
    cards = Interface.objects.filter(switch__in=known).exclude(machine__state=State.RETIRED)
    entered: dict[tuple[int, str], list[Interface]] = {}
    for card in cards.select_related("machine__cluster__vlan", "switch").defer("machine__facts", "machine__notes"):
        entered.setdefault((card.switch_id or 0, card.switch_port), []).append(card)
    services = _services(entered.values())
    moves = _moves(known)
    return [port for switch in known.values() for port in _of_switch(switch, entered, services, moves)]


def is_parked(card: Interface) -> bool:
    """Whether its port was last read in quarantine, or in no VLAN; not where nobody knows."""
    switch = card.switch
    port = next((port for port in ports_of([switch] if switch else []) if port.name == card.switch_port), None)
    quarantine = switch.quarantine.vid if switch and switch.quarantine else None
    return port is not None and port.is_read and port.vlan in (None, quarantine)


def of_vlan(vlan: Vlan) -> list[Port]:
    """Those that were read in it, and those of the machines of its clusters."""
    found = ports_of(Switch.objects.select_related("quarantine"))
    return [port for port in found if (port.is_read and port.vlan == vlan.vid) or _is_of(port.card, vlan)]


def _is_of(card: Interface | None, vlan: Vlan) -> bool:
    return card is not None and card.machine.cluster is not None and card.machine.cluster.vlan_id == vlan.pk


def _services(entered: Iterable[Sequence[Interface]]) -> set[int]:
    """The cards that `of_services` chooses; of each machine those are looked at whose cables were entered."""
    by_machine: dict[int, list[Interface]] = {}
    for cards in entered:
        for card in cards:
            by_machine.setdefault(card.machine_id, []).append(card)
    return {card.pk for cards in by_machine.values() for card in of_services(cards)}


def _moves(switches: Iterable[int]) -> dict[tuple[int, str], list[PortMove]]:
    """Of each port: what waits for a person, and the last that ended; the newest first."""
    found: dict[tuple[int, str], list[PortMove]] = {}
    mine = PortMove.objects.filter(switch__in=list(switches)).order_by()
    last = mine.filter(state__in=ENDED).values("switch", "port").annotate(last=Max("pk")).values("last")
    newest = mine.filter(Q(state=PortMove.State.ASKED) | Q(pk__in=last)).order_by("-pk")
    for move in newest.select_related("interface__machine").defer("interface__machine__facts"):
        found.setdefault((move.switch_id, move.port), []).append(move)
    return found


def _of_switch(
    switch: Switch,
    entered: dict[tuple[int, str], list[Interface]],
    services: set[int],
    moves: dict[tuple[int, str], list[PortMove]],
) -> Iterator[Port]:
    reports = {row.get("port", ""): row for row in switch.read_report if isinstance(row, dict)}
    names = [name for number, name in entered if number == switch.pk and name]
    asked = [name for (number, name), rows in moves.items() if number == switch.pk and _asked(rows)]
    for name in sorted({*names, *asked, *filter(None, reports)}, key=_natural):
        cards = entered.get((switch.pk, name), [])
        card = cards[0] if cards else None
        past = moves.get((switch.pk, name), [])
        read = _read(switch, reports.get(name), past)
        wish = _wish(switch, card) if card and card.pk in services else {}
        yield Port(switch, name, card, **read, **wish, asked=_asked(past), rivals=cards[1:])


def _asked(moves: Sequence[PortMove]) -> PortMove | None:
    return next((move for move in moves if move.is_open), None)


def _read(switch: Switch, report: dict[str, Any] | None, moves: Sequence[PortMove]) -> dict[str, Any]:
    """A move reads its port back: where that was later than the last reading of all ports, it counts."""
    ended = next((move for move in moves if move.state in ENDED and move.ended_at), None)
    if ended and ended.ended_at and (switch.read_at is None or ended.ended_at > switch.read_at):
        if ended.state == PortMove.State.ASTRAY:
            return {"problem": ended.problem}
        return {"vlan": ended.after, "is_read": True, "read_at": ended.ended_at}
    if report is None:
        return {}
    if report.get("problem"):
        return {"problem": str(report["problem"]), "read_at": switch.read_at}
    return {"vlan": report.get("vlan"), "is_read": True, "read_at": switch.read_at}


def _wish(switch: Switch, card: Interface) -> dict[str, Any]:
    """Where it ought to be. While its machine is being worked on it may be elsewhere."""
    machine = card.machine
    if machine.handled_by:
        return {}
    if machine.state in BEING_PARKED:
        return {"wanted": switch.quarantine.vid if switch.quarantine else None, "is_wanted": True}
    vlan = machine.cluster.vlan if machine.cluster else None
    return {"wanted": vlan.vid, "is_wanted": True} if vlan and machine.state == State.IN_USE else {}


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Ethernet2 before Ethernet10."""
    found: list[tuple[int, int, str]] = []
    word = ""
    for letter in name:
        if letter.isdigit() == word[:1].isdigit() and word:
            word += letter
            continue
        found += [_key(word)] if word else []
        word = letter
    return [*found, _key(word)] if word else found


def _key(word: str) -> tuple[int, int, str]:
    return (0, int(word), "") if word.isdecimal() and len(word) < 19 else (1, 0, word)
