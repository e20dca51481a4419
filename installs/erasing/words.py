"""Records of erased disks as pages show them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from installs.erasing import records
from installs.models import Erasure


@dataclass(frozen=True)
class Line:
    """`is_genuine` is False where somebody altered the record: nothing else of it counts then."""

    record: Erasure
    is_genuine: bool
    facts: dict[str, Any]

    @property
    def method(self) -> str:
        return str(self.facts.get("method") or "")

    @property
    def level(self) -> str:
        """As NIST SP 800-88 calls it; "" for a disk that is not erased."""
        return str(self.facts.get("level") or "")

    @property
    def problem(self) -> str:
        return str(self.facts.get("problem") or "")

    @property
    def samples(self) -> int:
        """How many places were read back."""
        return len(self.facts.get("places") or ())


def lines(found: Iterable[Erasure]) -> list[Line]:
    return [_line(record) for record in found]


def _line(record: Erasure) -> Line:
    is_genuine = records.is_genuine(record)
    return Line(record, is_genuine, records.facts_of(record) if is_genuine else {})
