"""Where the `up` of a data folder listens, for commands that are run beside it and were not told."""

import contextlib
import json
from pathlib import Path

from dodaiweb import durable

NAMES = ("pages", "provision", "images")


def write(data: Path, urls: dict[str, str]) -> None:
    durable.write(data / "run" / "urls.json", json.dumps(urls).encode())


def read(data: Path) -> dict[str, str]:
    """By name; empty where no `up` has run."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((data / "run" / "urls.json").read_text())
        if isinstance(found, dict):
            return {name: found[name] for name in NAMES if isinstance(found.get(name), str)}
    return {}
