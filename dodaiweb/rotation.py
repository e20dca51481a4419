"""Puts a new field key in the place of the old one, and seals again what is stored, while everything else runs.

1. The next key is made. It only reads.
2. They change places: from now on the new one writes, and the old one only reads.
3. What the old one sealed is sealed again, some rows at a time.
4. The old one is dropped once nothing stored needs it, and what was sealed just before the change has been stored.

Killed at any moment, everything opens with the keys that are there; the next run goes on where this one was.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet

from dodaiweb import keys
from installs.images.metadata import PURPOSE as IMAGE_PURPOSE
from installs.methods.installer.answers import PURPOSE as ANSWERS_PURPOSE
from installs.models import MACHINE_KEY_PURPOSE, Image, ImageImport, Install, MachineKey, NoticeTarget
from installs.models.images import URL_PURPOSE
from installs.models.notices import SECRET_PURPOSE
from machines import key_proof
from machines.models import SWITCH_SECRETS_PURPOSE, Bmc, Credentials, InventoryUpload, Switch
from machines.models.bmc import BMC_PASSWORD_PURPOSE
from machines.models.upload import PURPOSE as UPLOAD_PURPOSE

BATCH = 100
PASSES, PAUSE_SECONDS = 60, 0.5  # rows that somebody else has locked are done in a later pass
# What was sealed with the old key may be on its way into the database for as long as the longest request or import.
PATIENCE = timedelta(minutes=10)


class Unfinished(Exception):
    """The old key is still needed. The message says by what, and what to do."""


@dataclass(frozen=True)
class Column:
    """Where sealed texts are stored; `which` leaves out rows that hold something else there."""

    model: type[Model]
    name: str
    purpose: str
    which: Q = field(default_factory=Q)

    def sealed(self) -> QuerySet[Any]:
        written = Q(**{f"{self.name}__startswith": "v1."}) | Q(**{f"{self.name}__startswith": "v2."})
        return self.model._base_manager.filter(self.which, written)

    def by_others(self) -> QuerySet[Any]:
        """What another key than the one that writes now has sealed."""
        return self.sealed().exclude(**{f"{self.name}__startswith": keys.prefix()})

    def lost(self) -> QuerySet[Any]:
        """What names a key that is not here."""
        known = Q(*[Q(**{f"{self.name}__startswith": start}) for start in ("v1.", *keys.prefixes())], _connector=Q.OR)
        return self.sealed().exclude(known)


COLUMNS = (
    Column(Credentials, "password_sealed", BMC_PASSWORD_PURPOSE),
    Column(Bmc, "password_sealed", BMC_PASSWORD_PURPOSE),
    Column(Switch, "secrets_sealed", SWITCH_SECRETS_PURPOSE),
    Column(NoticeTarget, "secret_sealed", SECRET_PURPOSE),
    Column(ImageImport, "location", URL_PURPOSE, Q(source=ImageImport.Source.URL)),
    Column(InventoryUpload, "sealed", UPLOAD_PURPOSE),
    Column(Image, "secrets_sealed", IMAGE_PURPOSE),
    Column(Install, "answers_sealed", ANSWERS_PURPOSE),
    Column(MachineKey, "private_sealed", MACHINE_KEY_PURPOSE),
)


@dataclass(frozen=True)
class Progress:
    """`dropped_at`: when the old key may be dropped, in seconds since the epoch; None once it is."""

    sealed_again: int
    dropped_at: float | None


def prepare() -> None:
    """Only make the next key, so that it can be copied to other hosts before anything is sealed with it."""
    with _alone():
        if keys.is_swapped(settings.DATA):
            raise Unfinished("The last rotation is not over: run this without --prepare first.")
        keys.prepare(settings.DATA)


def rotate(*, patience: timedelta = PATIENCE) -> Progress:
    """Replace the field key, or go on with a rotation that is not over. Raises Unfinished, KeyProblem."""
    with _alone():
        if not keys.is_swapped(settings.DATA):
            keys.prepare(settings.DATA)
            keys.swap(settings.DATA)
        key_proof.renew()
        count = _seal_again()
        dropped_at = keys.swapped_at(settings.DATA) + patience.total_seconds()
        if time.time() < dropped_at:
            return Progress(count, dropped_at)
        key_proof.forget_old()
        keys.drop_old(settings.DATA)
        return Progress(count, None)


def lost() -> int:
    """How many stored texts name a key that is not here."""
    return sum(column.lost().count() for column in COLUMNS)


def _seal_again() -> int:
    """How many were. Raises Unfinished while something is left that needs another key."""
    count = 0
    for number in range(PASSES):
        time.sleep(PAUSE_SECONDS if number else 0)
        done = _Pass()
        for column in COLUMNS:
            _seal_column(column, done)
        count += done.count
        left = sum(column.by_others().count() for column in COLUMNS)
        if not left:
            return count
        if left <= len(done.broken):
            raise Unfinished(
                f"No key opens these: {', '.join(done.broken)}. Put the key file back that they were sealed with, or "
                f"set those passwords again; then run this again. Until then the old key stays."
            )
    raise Unfinished(f"{left} rows were in use all the time: run this again. Until then the old key stays.")


@dataclass
class _Pass:
    """`broken` names the rows that no key opens."""

    count: int = 0
    broken: list[str] = field(default_factory=list)


def _seal_column(column: Column, done: _Pass) -> None:
    last: int | None = 0
    while last is not None:
        last = _seal_batch(column, last, done)


def _seal_batch(column: Column, after: int, done: _Pass) -> int | None:
    """Some rows that nobody has locked now; it waits for none. The number of the last, None where there was none."""
    can_skip = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        rows = column.by_others().filter(pk__gt=after).order_by("pk").select_for_update(skip_locked=can_skip)
        found = list(rows.values_list("pk", column.name)[:BATCH])
        for pk, sealed in found:
            try:
                again = keys.encrypt(keys.decrypt(sealed, purpose=column.purpose), purpose=column.purpose)
            except keys.KeyProblem:
                done.broken.append(f"{column.model._meta.db_table} {pk}")
            else:
                done.count += column.model._base_manager.filter(pk=pk).update(**{column.name: again})
    return found[-1][0] if found else None


@contextmanager
def _alone() -> Iterator[None]:
    """Two of them at once would make two keys. The kernel lets go of the lock, however this process ends."""
    folder = os.open(settings.DATA / "keys", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise Unfinished("Another rotation runs on this data folder: wait for its end.") from exc
    finally:
        os.close(folder)
