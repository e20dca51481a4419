"""What came of going into a machine to hand it over. Plain values: nothing here touches a database or a network."""

from dataclasses import dataclass
from enum import StrEnum

CONNECT, HOSTNAME, NETWORK, KEYS, VERIFY, OWN_KEY = "connect", "hostname", "network", "keys", "verify", "own-key"
STEPS = (CONNECT, HOSTNAME, NETWORK, KEYS, VERIFY, OWN_KEY)


class End(StrEnum):
    DONE = "done"
    UNPREPARED = "unprepared"  # Dodai has no key for it, or its OS never told its host keys: nobody was asked
    SILENT = "silent"  # it does not answer, or not any more
    WRONG_HOST = "wrong-host"  # somebody answers who has none of its host keys: was told nothing
    REFUSED = "refused"  # it does not take the key
    FAILED = "failed"  # it answered, and a step could not be done


@dataclass(frozen=True)
class Done:
    """A step that was done. `said` is one short line of printable characters, "" for none."""

    name: str
    seconds: float
    said: str = ""


@dataclass(frozen=True)
class Outcome:
    """`failed_step` and `cause` are "" where all was done; a step that failed may have done a part of its work."""

    end: End
    done: tuple[Done, ...] = ()
    failed_step: str = ""
    cause: str = ""

    @property
    def is_done(self) -> bool:
        return self.end == End.DONE

    @property
    def needs_reinstall(self) -> bool:
        """Whether an install is the way on. Not so where somebody else answers: a person has to look first."""
        return self.end not in (End.DONE, End.WRONG_HOST)
