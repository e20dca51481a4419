"""What a test of a BMC hands on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NO_NAME = "Name or service not known"  # Python does not even ask for what cannot be a name, like 10.0.0..5

Renew = Callable[[], None]
"""Called before each log-in; raises when the test was taken away meanwhile."""


@dataclass(frozen=True)
class Finding:
    """One thing that works or is weak. The sentence for a code is in machines/bmc_words.py."""

    code: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Works:
    """What was found, and what the driver should use from now on."""

    findings: list[Finding] = field(default_factory=list)
    is_usable: bool = False
    cipher_suite: int | None = None
    privilege: str = ""
    tls_fingerprint: str = ""
    uuids: list[str] = field(default_factory=list)
    """The system UUID in every spelling that it could be: IPMI does not say in which byte order it is."""
    serials: list[str] = field(default_factory=list)

    def add(self, code: str, **values: Any) -> None:
        self.findings.append(Finding(code, values))
