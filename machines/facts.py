"""What a machine says about itself, in the shape that templates/scripts/lib.sh sends. Nothing of it is trusted."""

import json
from dataclasses import dataclass
from typing import Any

from machines import identity


class BadFacts(ValueError):
    """The machine's words have another shape than they should."""


@dataclass(frozen=True)
class FoundDisk:
    path: str
    serial: str
    wwn: str
    size_bytes: int
    model: str
    transport: str
    is_rotational: bool
    is_removable: bool
    signatures: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Facts:
    boot_id: str
    firmware: str
    uuid: str
    serial: str
    macs: tuple[str, ...]
    disks: tuple[FoundDisk, ...]
    raw: dict[str, Any]


def load(body: bytes) -> Any:
    """JSON without what no database column takes: NUL and lone surrogates. Raises ValueError, RecursionError."""
    return _storable(json.loads(body))


def parse(raw: Any) -> Facts:
    """Raises BadFacts. Unknown keys stay in `raw`; texts are cut to what a column holds."""
    if not isinstance(raw, dict):
        raise BadFacts("facts must be a JSON object")
    macs = []
    for card in _dicts(raw, "interfaces"):
        try:
            macs.append(identity.normal_mac(_text(card, "mac")))
        except identity.BadIdentity:
            continue  # InfiniBand and tunnels have other addresses
    return Facts(
        boot_id=_text(raw, "boot_id", 36),
        firmware=_text(raw, "firmware", 4),
        uuid=identity.normal_uuid(_text(raw, "uuid")),
        serial=identity.normal_serial(_text(raw, "serial", 127)),
        macs=tuple(macs),
        disks=tuple(parse_disk(disk) for disk in _dicts(raw, "disks")),
        raw=raw,
    )


def parse_disk(raw: Any) -> FoundDisk:
    if not isinstance(raw, dict):
        raise BadFacts("a disk must be a JSON object")
    size = raw.get("size_bytes")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise BadFacts("size_bytes of a disk must be a number")
    signatures = [
        {key: _text(item, key, 127) for key in ("path", "type", "label")} for item in _dicts(raw, "signatures")
    ]
    return FoundDisk(
        path=_text(raw, "path", 63), serial=_text(raw, "serial", 127), wwn=_text(raw, "wwn", 191), size_bytes=size,
        model=_text(raw, "model", 127), transport=_text(raw, "transport", 15),
        is_rotational=raw.get("rotational") is True, is_removable=raw.get("removable") is True,
        signatures=tuple(signatures[:64]),
    )  # fmt: skip


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _text(raw: dict[str, Any], key: str, limit: int = 255) -> str:
    value = raw.get(key)
    text = value if isinstance(value, str) else ""
    return text.replace("\0", "").strip()[:limit]


def _dicts(raw: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = raw.get(key) or []
    if not isinstance(value, list) or len(value) > 1024:
        raise BadFacts(f"{key} must be a list")
    return [item for item in value if isinstance(item, dict)]
