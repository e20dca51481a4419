"""Secrets that are known, and where to look whether they came out: logs, Valkey, tables, processes, pages."""

import base64
import json
import logging
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote


def spellings(secret: str) -> set[bytes]:
    """As it is, and as it stands in URLs, JSON, Basic credentials and hex dumps."""
    raw = secret.encode()
    whole = base64.b64encode(raw)
    shifted = {base64.b64encode(b" " * n + raw)[4:-4] for n in (1, 2)}  # in the middle of something longer
    texts = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex(), raw.hex(" ")}
    return {text.encode() for text in texts} | {whole.rstrip(b"=")} | shifted


def found(secrets: dict[str, str], places: dict[str, bytes]) -> list[str]:
    """`name in place` for each secret that stands in a place. Never the secret itself."""
    marks = {name: spellings(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {where}" for where, text in places.items() for name, spelt in marks.items()
        if any(mark in text for mark in spelt)
    ]  # fmt: skip


@contextmanager
def logged() -> Iterator[list[str]]:
    """What would be on stderr with DODAI_LOG_LEVEL=DEBUG, tracebacks included, by the settings' own handler."""
    from django.conf import settings
    from django.utils.module_loading import import_string

    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    told: dict[str, Any] = settings.LOGGING["handlers"]["stderr"]
    handler = Keeping()
    handler.setFormatter(logging.Formatter(settings.LOGGING["formatters"][told["formatter"]]["format"]))
    for name in told["filters"]:
        handler.addFilter(import_string(settings.LOGGING["filters"][name]["()"])())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def in_valkey(client: Any) -> dict[str, bytes]:
    """Each key with what it holds; what RQ compressed is unpacked."""
    return {f"Valkey's {key.decode(errors='replace')}": b"\n".join(_values(client, key)) for key in client.scan_iter()}


def _values(client: Any, key: bytes) -> Iterator[bytes]:
    readers = {
        b"string": lambda: [client.get(key)], b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key), b"zset": lambda: client.zrange(key, 0, -1),
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"stream": lambda: [part for _, entry in client.xrange(key) for pair in entry.items() for part in pair],
    }  # fmt: skip
    yield key
    for value in readers.get(client.type(key), list)():
        yield value or b""
        with suppress(zlib.error):
            yield zlib.decompress(value or b"")
        with suppress(ValueError, zlib.error):  # results of jobs: zlib in base64
            yield zlib.decompress(base64.b64decode(value or b""))


def in_tables() -> dict[str, bytes]:
    """Every row of every table, as JSON."""
    from django.apps import apps
    from django.core import serializers

    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    return {f"table {model._meta.db_table}": serializers.serialize("json", model._base_manager.all()).encode()
            for model in models}  # fmt: skip


def in_processes(pids: Iterable[int]) -> dict[str, bytes]:
    """Their command lines and environments."""
    places = {}
    for pid in pids:
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                places[f"{name} of process {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    return places
