"""Moves the ports that machines' cards are in: who may, on which switch, what came of it. The moving itself is in
network/move.py.

A switch is held by one process at a time, by a lease in its row: no lock of the database is held while one talks to it.
What is about to be done is stored before, so that whoever comes after a killed process knows where each port was.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

from machines import alive, doorbell, own_hosts
from machines.actions import Refused
from machines.child import only_for
from machines.models import Interface, PortMove, Switch
from machines.network import driver_for
from machines.network.base import NetworkDriver, NetworkError, NetworkRefused, SwitchPort
from machines.network.move import Move, Result, State, Wanted, move

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)  # more than the longest call of any driver, which renews it
WAIT_SECONDS, LOOK_SECONDS = 5.0, 0.2
LEFT_BEHIND = "Dodai was ended while it moved this port: read it, then move it again"
NOT_SENT = "given up before anything was sent to the switch"

_ENDED = {
    State.MOVED: PortMove.State.MOVED, State.ASKED: PortMove.State.ASKED, State.PUT_BACK: PortMove.State.PUT_BACK,
    State.ASTRAY: PortMove.State.ASTRAY, State.UNTOUCHED: PortMove.State.FAILED,
}  # fmt: skip


class SwitchBusy(NetworkError):
    """Somebody else is talking to it: try again in a moment."""


class MoveFailed(NetworkError):
    """No port was moved, but those that `moves` calls astray. Trying again may help."""

    def __init__(self, words: str, moves: Sequence[Move] = ()) -> None:
        super().__init__(words)
        self.moves = tuple(moves)


class MoveRefused(NetworkRefused):
    """The same where trying again will not help."""

    def __init__(self, words: str, moves: Sequence[Move] = ()) -> None:
        super().__init__(words)
        self.moves = tuple(moves)


def move_cards(
    wanted: Mapping[Interface, int | None], *, by: str, wait_seconds: float = WAIT_SECONDS,
    check: Callable[[], None] = lambda: None,
) -> tuple[Move, ...]:  # fmt: skip
    """Put the ports of these cards into these VLANs, all or none; None parks one. In the order of `wanted`.

    A move whose state is `asked` waits for an operator: call again with the same once `open_moves` has none left.
    Doing it again when all is done sends nothing. Raises SwitchBusy, MoveFailed (try again) or MoveRefused (do not).
    `check` is called in the transaction that writes down what is about to be done; what it raises stops that.
    """
    cards = list(wanted)
    try:
        switches = _switches_of(cards)
        with _held(switches, wait_seconds=wait_seconds) as hold:
            _note_left_behind(switches)
            asked = [_wanted(card, switches[card.switch_id], wanted[card]) for card in cards if card.switch_id]
            rows = _write_down(cards, asked, by=by, check=check)
            result = move(asked, mine=hold.mine, read=lambda moves: _write_before(rows, moves))
            _store(rows, result, cards)
    except (SwitchBusy, MoveFailed, MoveRefused):
        raise
    except NetworkRefused as exc:
        raise MoveRefused(str(exc)) from exc
    except NetworkError as exc:
        raise MoveFailed(str(exc)) from exc
    if result.problem:
        _raise(result)
    return result.moves


def read_cards(cards: Iterable[Interface]) -> dict[Interface, int | None]:
    """The VLAN that each card's switch says its port is in. Raises NetworkError."""
    found: dict[Interface, int | None] = {}
    chosen = list(cards)
    switches = _switches_of(chosen)
    for switch in switches.values():
        mine = [card for card in chosen if card.switch_id == switch.pk]
        ports = {card: SwitchPort(switch.name, card.switch_port, told(switch, card.switch_port)) for card in mine}
        vlans = driver_for(switch.endpoint()).read_all(ports.values())
        found |= {card: vlans[port.name] for card, port in ports.items()}
    return found


def open_moves(machine_id: int) -> list[PortMove]:
    """What operators are to move for this machine."""
    waiting = PortMove.objects.filter(interface__machine=machine_id, state=PortMove.State.ASKED)
    return list(waiting.select_related("switch", "interface").order_by("pk"))


def confirm(number: int, *, by: str) -> PortMove:
    """An operator has moved this port as asked. Raises Refused when nobody asks for that any more."""
    return _answer(number, by=by, state=PortMove.State.MOVED)


def cannot(number: int, why: str, *, by: str) -> PortMove:
    """An operator cannot move this port. Raises Refused without a reason, or when nobody asks for that any more."""
    if not why.strip():
        raise Refused(_("Say why the port cannot be moved."))
    return _answer(number, by=by, state=PortMove.State.FAILED, problem=why)


def withdraw(machine_id: int) -> None:
    """Nobody needs to move a port of this machine any more."""
    waiting = PortMove.objects.filter(interface__machine=machine_id, state=PortMove.State.ASKED)
    if waiting.update(state=PortMove.State.WITHDRAWN, ended_at=now()):
        doorbell.tell_pages(machine=machine_id)


def stop_reading(*, by: str) -> None:
    """Who has only read ports for this one until now moves none of them: see `_write_before`."""
    _end_reading(PortMove.objects.filter(asked_by=by))


def _answer(number: int, *, by: str, state: str, problem: str = "") -> PortMove:
    with transaction.atomic():
        asked = PortMove.objects.select_for_update().filter(pk=number, state=PortMove.State.ASKED)
        row = asked.first()
        if row is None:
            raise Refused(_("Nobody asks for that any more."))
        row.state, row.ended_by, row.ended_at, row.problem = state, by, now(), " ".join(problem.split())[:500]
        row.after = row.vlan if state == PortMove.State.MOVED else row.before
        row.save(update_fields=["state", "ended_by", "ended_at", "problem", "after"])
    if row.interface:
        doorbell.tell_pages(machine=row.interface.machine_id)
    return row


def _switches_of(cards: Sequence[Interface]) -> dict[int, Switch]:
    """By number. Raises NetworkRefused where it is not certain whose port it is, or whose machine."""
    for card in cards:
        if card.switch_id is None or not card.switch_port:
            raise NetworkRefused(f"{card.machine.name}: nobody entered which switch and port {card.mac} is in")
        if card.machine.protected:
            raise NetworkRefused(f"{card.machine.name} is protected: its ports are left where they are")
        if own := own_hosts.why(card.machine):
            raise NetworkRefused(own)
    places = {(card.switch_id, card.switch_port): card for card in cards}
    claims = Interface.objects.filter(switch__in={switch for switch, _ in places}).select_related("machine", "switch")
    for other in claims.exclude(pk__in=[card.pk for card in cards]):
        if mine := places.get((other.switch_id, other.switch_port)):
            raise NetworkRefused(
                f"{other.switch} port {other.switch_port} is entered for {mine.machine.name} and for "
                f"{other.machine.name}: correct the inventory, nothing was sent"
            )
    found = Switch.objects.select_related("quarantine").filter(pk__in={card.switch_id for card in cards})
    return {switch.pk: switch for switch in found.order_by("name")}


def _wanted(card: Interface, switch: Switch, vlan: int | None) -> Wanted:
    port = SwitchPort(switch.name, card.switch_port, told(switch, card.switch_port))
    return Wanted(_driver(switch), switch.rules(), port, vlan)


def _driver(switch: Switch) -> NetworkDriver:
    """The same object for all ports of one switch, so that it is asked once."""
    if not hasattr(switch, "_made"):
        switch._made = driver_for(switch.endpoint())  # type: ignore[attr-defined]
    made: NetworkDriver = switch._made  # type: ignore[attr-defined]
    return made


def told(switch: Switch, port: str) -> int | None:
    """Where a person said last that this port is."""
    rows = PortMove.objects.filter(switch=switch, port=port, state=PortMove.State.MOVED).order_by("-pk")
    newest = rows.values_list("after", flat=True).first()
    return None if newest is None else int(newest)


def _write_down(
    cards: Sequence[Interface], asked: Sequence[Wanted], *, by: str, check: Callable[[], None]
) -> list[PortMove]:
    """Rows of what is about to be done; those of the same ports that wait for a person make way for them."""
    with transaction.atomic():
        check()
        for card in cards:
            waiting = PortMove.objects.filter(switch=card.switch_id, port=card.switch_port)
            waiting.filter(state=PortMove.State.ASKED).update(state=PortMove.State.WITHDRAWN, ended_at=now())
        rows = [
            PortMove(switch=card.switch, port=card.switch_port, interface=card, vlan=each.vlan, asked_by=by)
            for card, each in zip(cards, asked, strict=True)
        ]
        return [_saved(row) for row in rows]


def _saved(row: PortMove) -> PortMove:
    row.save()
    return row


def _write_before(rows: Sequence[PortMove], moves: Sequence[Move]) -> None:
    """So that whoever comes after a killed process can put them back. Raises NetworkError where one has come."""
    with transaction.atomic():
        for row, known in zip(rows, moves, strict=True):
            still = PortMove.objects.filter(pk=row.pk, state=PortMove.State.READING)
            if not still.update(state=PortMove.State.MOVING, before=known.before):
                raise NetworkError(NOT_SENT)


def _store(rows: Sequence[PortMove], result: Result, cards: Sequence[Interface]) -> None:
    with transaction.atomic():
        for row, known in zip(rows, result.moves, strict=True):
            if known.state == State.STAYED:
                row.delete()
                continue
            row.state, row.before, row.after, row.vlan = _ENDED[known.state], known.before, known.after, known.vlan
            row.problem = (known.problem or str(result.problem or ""))[:500]
            row.ended_at = None if row.state == PortMove.State.ASKED else now()
            row.save()
    for machine in {card.machine_id for card in cards}:
        doorbell.tell_pages(machine=machine)


def _note_left_behind(switches: Mapping[int, Switch]) -> None:
    """Who had the switch before was killed: nobody knows where those ports are, but for those it only read."""
    left = PortMove.objects.filter(switch__in=switches)
    _end_reading(left)
    left.filter(state=PortMove.State.MOVING).update(state=PortMove.State.ASTRAY, ended_at=now(), problem=LEFT_BEHIND)


def _end_reading(rows: QuerySet[PortMove]) -> None:
    rows = rows.filter(state=PortMove.State.READING)
    rows.update(state=PortMove.State.FAILED, ended_at=now(), problem=NOT_SENT)


def _raise(result: Result) -> None:
    astray = [known.problem for known in result.moves if known.state == State.ASTRAY]
    words = "; ".join([str(result.problem), *astray])
    if isinstance(result.problem, NetworkRefused) and not astray:
        raise MoveRefused(words, result.moves)
    raise MoveFailed(words, result.moves)


class _Hold:
    """Some switches, for as long as the lease lasts."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.owner = f"{alive.own_name()}.{secrets.token_hex(3)}"

    def take(self, number: int) -> bool:
        moment = now()
        free = Q(held_until=None) | Q(held_until__lt=moment)
        holder = Switch.objects.filter(pk=number).values_list("held_by", flat=True).first() or ""
        if alive.has_ended(holder.rpartition(".")[0]):
            free |= Q(held_by=holder)  # nobody waits for the lease of a process that was killed
        values = {"held_by": self.owner, "held_until": moment + LEASE}
        return bool(Switch.objects.filter(free, pk=number).update(**values))

    @contextmanager
    def mine(self) -> Iterator[None]:
        """For one word to one of them. Raises SwitchBusy once another process has one; so does a process that froze."""
        mine = Switch.objects.filter(pk__in=self.numbers, held_by=self.owner)
        if mine.update(held_until=now() + LEASE) < len(self.numbers):
            raise SwitchBusy("another process has taken over the switch: nothing more was sent")
        with only_for(LEASE.total_seconds()):
            yield

    def release(self) -> None:
        Switch.objects.filter(held_by=self.owner).update(held_by="", held_until=None)


@contextmanager
def _held(switches: Mapping[int, Switch], *, wait_seconds: float) -> Iterator[_Hold]:
    """Always taken in the order of their numbers, so that no two wait for each other. Raises SwitchBusy."""
    hold = _Hold(sorted(switches))
    give_up_at = time.monotonic() + wait_seconds
    try:
        for number in hold.numbers:
            while not hold.take(number):
                if time.monotonic() >= give_up_at:
                    raise SwitchBusy(f"the switch {switches[number]} is being talked to: try again in a moment")
                time.sleep(LOOK_SECONDS)
        yield hold
    finally:
        hold.release()
