"""The secrets of one Dodai: kept in files beside the database, never in it.

`secret_key` signs sessions and records of erased disks, `field_key` encrypts BMC passwords (AES-256-GCM) and derives
nothing else. Both are made only while no database exists yet; later a missing key stops the start, because a new one
could read nothing that the old one wrote.

While the field key is replaced (dodaiweb/rotation.py) there are two of them. Only `field_key` writes. What is stored
names its key, so that each process finds the right one, and looks for the files again when it meets a new name.
"""

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dodaiweb import durable

NAMES = ("secret_key", "field_key")
FIELD_KEY = "field_key"
NEXT, OLD = "field_key.next", "field_key.old"  # they only read: before `swap`, and after it
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
    for name in (*NAMES, *readers(data)):
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
    """`plain` sealed for one purpose, with the id of its key; moved to a column of another purpose it does not open."""
    if not plain:
        return ""
    key = _field_key()
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plain.encode(), purpose.encode())
    return _prefix(key) + urlsafe_b64encode(nonce + sealed).decode()


def decrypt(sealed: str, *, purpose: str) -> str:
    """Raises KeyProblem where no key opens it."""
    if not sealed:
        return ""
    version, _, rest = sealed.partition(".")
    name, _, body = rest.rpartition(".")
    if version not in ("v1", "v2"):
        raise KeyProblem("a stored secret has an unknown format: was it written by a newer Dodai?")
    try:
        raw = urlsafe_b64decode(body)
        for key in _keys_of(name):
            with suppress(InvalidTag):
                return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()).decode()
    except ValueError:
        pass
    raise KeyProblem("a stored secret does not open with keys/field_key: put the right key file back.")


def signing_key(purpose: str) -> Ed25519PrivateKey:
    """One that only this Dodai has, of its secret key. Anybody can check what it signed by its public half."""
    seed = hmac.digest(read(_data(), "secret_key").encode(), f"dodai.signing.{purpose}".encode(), "sha256")
    return Ed25519PrivateKey.from_private_bytes(seed)


def prefix() -> str:
    """What all begins with that the key that writes now has sealed."""
    return _prefix(_field_key())


def prefixes() -> list[str]:
    """The same of all keys that are here."""
    _ring.cache_clear()
    return [_prefix(key) for key in _ring(_data()).values()]


def readers(data: Path) -> list[str]:
    """The files of field keys that only read, while one is being replaced."""
    return [name for name in (OLD, NEXT) if (data / "keys" / name).exists()]


def prepare(data: Path) -> None:
    """Make the next field key, which only reads until `swap`; or leave the one that is there."""
    folder = data / "keys"
    for left in folder.glob(f".{NEXT}.*"):  # by one that was killed
        left.unlink()
    if not (folder / NEXT).exists():
        _create(folder / NEXT)
        durable.sync_folder(folder)


def is_swapped(data: Path) -> bool:
    """Whether there is an old field key, which writes no more."""
    return OLD in readers(data) and read(data, OLD) != read(data, FIELD_KEY)


def swap(data: Path) -> None:
    """From now on the next field key writes, and the one before only reads. At each moment both have a file."""
    folder = data / "keys"
    with suppress(FileExistsError):
        os.link(folder / FIELD_KEY, folder / OLD)
    os.utime(folder / OLD)  # when this happened, for `swapped_at`
    durable.sync_folder(folder)
    (folder / NEXT).replace(folder / FIELD_KEY)
    durable.sync_folder(folder)


def swapped_at(data: Path) -> float:
    """When the old field key wrote last, in seconds since the epoch."""
    return (data / "keys" / OLD).stat().st_mtime


def drop_old(data: Path) -> None:
    (data / "keys" / OLD).unlink(missing_ok=True)
    durable.sync_folder(data / "keys")


def _field_key() -> bytes:
    """The one that writes: read each time, as another process may have replaced it."""
    return _key(_data(), FIELD_KEY)


def _keys_of(name: str) -> list[bytes]:
    """The key of that id, if it is here; without an id, as in what the first versions stored, all of them."""
    data = _data()
    if name and name not in _ring(data):
        _ring.cache_clear()
    ring = _ring(data)
    return [ring[name]] if name in ring else [] if name else list(ring.values())


@cache
def _ring(data: Path) -> dict[str, bytes]:
    """All field keys by id, the one that writes first."""
    found = {}
    for name in (FIELD_KEY, OLD, NEXT):
        try:
            key = _key(data, name)
        except KeyProblem:
            if name == FIELD_KEY or name in readers(data):
                raise
        else:
            found[_id(key)] = key
    return found


def _key(data: Path, name: str) -> bytes:
    return urlsafe_b64decode(read(data, name))[:LEAST_BYTES]


def _prefix(key: bytes) -> str:
    return f"v2.{_id(key)}."


def _id(key: bytes) -> str:
    return hashlib.sha256(b"id of a field key" + key).hexdigest()[:8]


def _data() -> Path:
    from django.conf import settings  # settings itself reads keys from here

    return settings.DATA


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def _create(path: Path) -> None:
    """Write a new key durably, or leave the one that another process made first."""
    text = urlsafe_b64encode(secrets.token_bytes(LEAST_BYTES)).decode()
    half = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    if os.geteuid() == 0:  # root at a folder of somebody else, who is to read it
        os.fchown(descriptor, path.parent.stat().st_uid, path.parent.stat().st_gid)
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
