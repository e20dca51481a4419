"""What the cell makes of a rendered answer file."""

import re
from dataclasses import dataclass, field
from typing import Any

from installs.cell.problems import Problem

# What stands for the granted disk until the machine knows its name: the link below /dev/disk/by-id, the node in /dev.
DISK_WORDS = ("@DODAI-DISK@", "@DODAI-DISK-NODE@")
KERNEL_DISK = re.compile(
    r"(?<![A-Za-z0-9_-])((sd|vd|hd|xvd)[a-z]{1,3}[0-9]*|nvme[0-9]+n[0-9]+(p[0-9]+)?|mmcblk[0-9]+)(?![A-Za-z0-9_-])"
)


@dataclass(frozen=True)
class Answers:
    """`text` is what the installer reads; `before` is shell that runs once the grant is there."""

    text: str
    problems: list[Problem] = field(default_factory=list)
    before: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"text": self.text, "before": self.before, "problems": [each.as_json() for each in self.problems]}


def names_a_kernel_disk(text: str) -> bool:
    """Whether it names a disk as the kernel counted it, which may be another one at the next boot."""
    return bool(KERNEL_DISK.search(text))
