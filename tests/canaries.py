"""Secrets that are known, and where to look whether they came out: logs, Valkey, tables, processes, pages."""

import base64
import json
import logging
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dodaiweb import keys

SEALED = (  # table, column, purpose
    ("machines_bmc", "password_sealed", "bmc password"),
    ("machines_credentials", "password_sealed", "bmc password"),
    ("installs_noticetarget", "secret_sealed", "notice secret"),
)


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


def of_folder(data: Path) -> dict[str, str]:
    """The keys in a data folder, and what its SQLite database has sealed with them."""
    secrets = {f"keys/{path.name}": path.read_text().strip() for path in (data / "keys").glob("*")}
    with suppress(sqlite3.OperationalError, keys.KeyProblem):  # ended before it had tables, or its keys were taken away
        with closing(sqlite3.connect(f"file:{data / 'dodai.sqlite3'}?mode=ro", uri=True, timeout=5)) as database:
            secrets.update(_unsealed(database, keys._ring(data)))
    return secrets


def _unsealed(database: sqlite3.Connection, ring: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    for table, column, purpose in SEALED:
        for number, sealed in database.execute(f"SELECT id, {column} FROM {table} WHERE {column} <> ''"):  # noqa: S608
            name, _, body = sealed.removeprefix("v2.").partition(".")
            raw = base64.urlsafe_b64decode(body)
            with suppress(InvalidTag, KeyError):
                plain = AESGCM(ring[name]).decrypt(raw[: keys.NONCE_BYTES], raw[keys.NONCE_BYTES :], purpose.encode())
                yield f"{purpose} {number}", plain.decode()


def in_processes(pids: Iterable[int]) -> dict[str, bytes]:
    """Their command lines and environments."""
    places = {}
    for pid in pids:
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                places[f"{name} of process {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    return places
