"""Who edits the inventory right now. While nobody does (the poll, inspections), no history is written."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

LONGEST_NAME = 150


@dataclass(frozen=True)
class Actor:
    """`user` is None for somebody at the command line."""

    name: str
    user: Any = None


_actor: ContextVar[Callable[[], Actor | None] | None] = ContextVar("actor", default=None)


def current() -> Actor | None:
    """Who edits; None for Dodai's own work."""
    ask = _actor.get()
    return ask() if ask else None


@contextmanager
def acting(ask: Callable[[], Actor | None]) -> Iterator[None]:
    """Edits in here are those of whom `ask` names; it is asked at each edit only, as a page's user is read lazily."""
    token = _actor.set(ask)
    try:
        yield
    finally:
        _actor.reset(token)


@contextmanager
def on_behalf_of(name: str) -> Iterator[None]:
    """Edits in here are those of `name`, who asked for them earlier, unless somebody makes them right now."""
    present = current()
    with acting(lambda: present or Actor(name[:LONGEST_NAME])):
        yield


def at_command_line() -> Actor:
    """The unix user of this process."""
    try:
        return Actor(getpass.getuser()[:LONGEST_NAME])
    except (KeyError, OSError):  # a container's user may have no name
        return Actor("command line")
