"""Moves ports: all of them, or none of them. Knows drivers and rules; locks and rows are the caller's (cabling.py).

Checked before anything is sent, read before and after each write, put back in reverse order when something fails. What
could not be put back is named. A call that is broken off (a killed process) leaves each port where it was or where it
was to be: the caller has written down beforehand what it was about to do.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum

from machines.network.base import NO_VLAN, NeedsOperator, NetworkDriver, NetworkError, NetworkRefused, SwitchPort
from machines.network.rules import Rules

PUT_BACK_TRIES = 2


class State(StrEnum):
    UNTOUCHED = "untouched"
    STAYED = "stayed"
    """It was there already."""
    MOVED = "moved"
    ASKED = "asked"
    """A person has to move it; nothing was sent."""
    PUT_BACK = "put back"
    ASTRAY = "astray"
    """It could not be put back, or nobody knows where it is."""


@dataclass(frozen=True)
class Wanted:
    """`vlan` None parks the port: in the quarantine VLAN, or in none where the switch has no such VLAN."""

    driver: NetworkDriver
    rules: Rules
    port: SwitchPort
    vlan: int | None


@dataclass(frozen=True)
class Move:
    """One port: where it was to go, what was read before and after (NO_VLAN is a place, too), what came of it."""

    port: SwitchPort
    vlan: int | None
    before: int | None = None
    after: int | None = None
    state: State = State.UNTOUCHED
    problem: str = ""


@dataclass(frozen=True)
class Result:
    """`moves` in the order that was wanted. With a `problem` no port is moved, but those that are astray."""

    moves: tuple[Move, ...]
    problem: NetworkError | None = None


def target_of(wanted: Wanted) -> int | None:
    """Where the port is to be afterwards. Raises NetworkRefused where it cannot be parked."""
    if wanted.vlan is not None or wanted.rules.quarantine is not None:
        return wanted.rules.quarantine if wanted.vlan is None else wanted.vlan
    if not wanted.driver.can_detach:
        raise NetworkRefused(f"{wanted.port}: its switch has no quarantine VLAN to park it in: choose one")
    return NO_VLAN


Mine = Callable[[], AbstractContextManager[None]]


Read = Callable[[Sequence[Move]], None]


def move(wanted: Sequence[Wanted], *, mine: Mine = nullcontext, read: Read = lambda moves: None) -> Result:
    """Move all ports. Each word to a switch is said within `mine()`, which raises NetworkError to stop that.

    `read` is told where the ports were, before the first one is moved.
    """
    return _Mover(wanted, mine, read).run()


class _Mover:
    def __init__(self, wanted: Sequence[Wanted], mine: Mine, read: Read) -> None:
        self.wanted = wanted
        self.mine = mine
        self.read = read
        self.moves = [Move(each.port, each.vlan) for each in wanted]

    def run(self) -> Result:
        touched: list[int] = []
        try:
            self._check()
            self._read_before()
            self.read(tuple(self.moves))
            for number in self._order():
                self._put(number, touched)
        except Exception as exc:  # noqa: BLE001 - whatever a driver raises, what was moved goes back
            problem = exc if isinstance(exc, NetworkError) else NetworkError(f"a fault in Dodai: {type(exc).__name__}")
            for number in reversed(touched):
                self._put_back(number)
            self._withdraw()
            return Result(tuple(self.moves), problem)
        return Result(tuple(self.moves))

    def _check(self) -> None:
        """Nothing has been said to any switch yet."""
        for number, each in enumerate(self.wanted):
            if (each.port.switch, each.port.name) in {(one.port.switch, one.port.name) for one in self.wanted[:number]}:
                raise NetworkRefused(f"{each.port} is named twice")
            each.rules.check_port(each.port)
            target = target_of(each)
            each.rules.check_vlan(each.port, target)
            self._note(number, vlan=target)

    def _read_before(self) -> None:
        """Of all ports, before the first one is moved: what cannot be put back is not begun."""
        for driver in dict.fromkeys(each.driver for each in self.wanted):
            its = [number for number, each in enumerate(self.wanted) if each.driver is driver]
            with self.mine():
                found = driver.read_all([self.wanted[number].port for number in its])
            for number in its:
                each = self.wanted[number]
                before = found[each.port.name]
                each.rules.check_before(each.port, before)
                if before is NO_VLAN and not driver.can_detach:
                    raise NetworkRefused(f"{each.port} is in no VLAN, and could not be put back: put it into one first")
                self._note(number, before=before, after=before)

    def _order(self) -> list[int]:
        """People are asked last: what switches refuse, nobody does by hand in vain."""
        return sorted(range(len(self.wanted)), key=lambda number: not self.wanted[number].driver.can_be_read)

    def _put(self, number: int, touched: list[int]) -> None:
        each, known = self.wanted[number], self.moves[number]
        if known.before == known.vlan:
            self._note(number, state=State.STAYED)
            return
        try:
            with self.mine():
                touched.append(number)
                each.driver.put(each.port, known.vlan)
        except NeedsOperator as exc:
            touched.pop()
            self._note(number, state=State.ASKED, problem=str(exc))
            return
        with self.mine():
            after = each.driver.read(each.port)
        if after != known.vlan:
            raise NetworkError(f"{each.port} is in {place(after)} though it was put into {place(known.vlan)}")
        self._note(number, after=after, state=State.MOVED)

    def _put_back(self, number: int) -> None:
        each, known = self.wanted[number], self.moves[number]
        problem = ""
        for _ in range(PUT_BACK_TRIES):
            try:
                with self.mine():
                    each.driver.put(each.port, known.before)
                with self.mine():
                    after = each.driver.read(each.port)
            except Exception as exc:  # noqa: BLE001 - the others are put back all the same
                problem = str(exc) if isinstance(exc, NetworkError) else f"a fault in Dodai: {type(exc).__name__}"
                continue
            if after == known.before:
                self._note(number, after=after, state=State.PUT_BACK)
                return
            problem = f"{each.port} is in {place(after)} though it was put back into {place(known.before)}"
            self._note(number, after=after)
        words = f"{each.port} could not be put back into {place(known.before)}: {problem}"
        self._note(number, state=State.ASTRAY, problem=words)

    def _withdraw(self) -> None:
        """Nobody is asked for a part of what is not done."""
        for number, known in enumerate(self.moves):
            if known.state == State.ASKED:
                self._note(number, state=State.UNTOUCHED, problem="")

    def _note(self, number: int, **known: object) -> None:
        self.moves[number] = replace(self.moves[number], **known)  # type: ignore[arg-type]


def place(vlan: int | None) -> str:
    return "no VLAN" if vlan is NO_VLAN else f"VLAN {vlan}"
