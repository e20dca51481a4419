"""The secrets of one Dodai: kept in files beside the database, never in it.

`secret_key` signs sessions, `field_key` encrypts BMC passwords (AES-256-GCM) and derives nothing else.
Both are made only while no database exists yet; later a missing key stops the start, because a new one
could read nothing that the old one wrote.
"""

import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dodaiweb import durable

NAMES = ("secret_key", "field_key")
METRICS = "metrics_token"  # made on demand: nothing that is stored depends on it
LEAST_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1


class KeyProblem(Exception):
    """A key is lost, empty or too short. The message says what to do."""


def ensure(data: Path, *, database_exists: bool) -> None:
    """Make the keys of a new installation, or check that those of an old one are all there."""
    folder = data / "keys"
    missing = [name for name in NAMES if not (folder / name).exists()]
    if missing and database_exists:
        raise KeyProblem(
            f"{folder / missing[0]} is missing, but a database exists. BMC passwords in it can only be read with the "
            f"old key: put the file back from your backup. To start afresh instead, use another --data folder."
        )
    if missing:
        _make_private(data)
        _make_private(folder)
        for name in missing:
            _create(folder / name)
        for made_in in (folder, data):  # a database must not outlive its keys in a power cut
            durable.sync_folder(made_in)
    for name in NAMES:
        read(data, name)


def read(data: Path, name: str) -> str:
    """The text of one key (base64url of 32 random bytes)."""
    path = data / "keys" / name
    try:
        text = path.read_text().strip()
    except OSError as exc:
        raise KeyProblem(f"cannot read the key {path}: {exc.strerror}. Check its owner and mode (0600).") from exc
    if len(text) < LEAST_BYTES:
        raise KeyProblem(f"the key {path} is empty or too short: put it back from your backup.")
    return text


def metrics_token(data: Path) -> str:
    """What a scraper shows; empty until `new_metrics_token` made one. Raises KeyProblem."""
    return read(data, METRICS) if (data / "keys" / METRICS).exists() else ""


def new_metrics_token(data: Path) -> str:
    """A new one in place of the old, which counts no more."""
    (data / "keys" / METRICS).unlink(missing_ok=True)
    _create(data / "keys" / METRICS)
    return read(data, METRICS)


def encrypt(plain: str, *, purpose: str) -> str:
    """`plain` sealed for one purpose; a value moved to another field or row purpose does not open."""
    if not plain:
        return ""
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(_field_key()).encrypt(nonce, plain.encode(), purpose.encode())
    return "v1." + urlsafe_b64encode(nonce + sealed).decode()


def decrypt(sealed: str, *, purpose: str) -> str:
    if not sealed:
        return ""
    version, _, body = sealed.partition(".")
    if version != "v1":
        raise KeyProblem("a stored secret has an unknown format: was it written by a newer Dodai?")
    try:
        raw = urlsafe_b64decode(body)
        return AESGCM(_field_key()).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()).decode()
    except (InvalidTag, ValueError) as exc:
        raise KeyProblem("a stored secret does not open with keys/field_key: put the right key file back.") from exc


@cache
def _field_key() -> bytes:
    from django.conf import settings  # settings itself reads keys from here

    return urlsafe_b64decode(read(settings.DATA, "field_key"))[:LEAST_BYTES]


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def _create(path: Path) -> None:
    """Write a new key durably, or leave the one that another process made first."""
    text = urlsafe_b64encode(secrets.token_bytes(LEAST_BYTES)).decode()
    half = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(half, path)
    except FileExistsError:
        pass
    finally:
        half.unlink()
