"""Records of erased disks: signed, so that a change shows, and kept when the machine is long gone."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import InvalidSignature
from django.utils.timezone import now

from dodaiweb import keys
from installs.erasing.planned import SAMPLE_BYTES
from installs.erasing.report import LEVELS, Judged
from installs.models import Erasure, Install

PURPOSE = "erasures"
NOTE = "The level is that of the method which the drive reported as done; the samples prove what can be read."


def keep(install: Install, judged: Iterable[Judged]) -> None:
    """A record for each disk, also for one that is not erased: it says so. The row of the install is locked."""
    for each in judged:
        text = json.dumps(_facts(install, each), sort_keys=True)
        signature = keys.signing_key(PURPOSE).sign(text.encode())
        Erasure.objects.create(
            install=install, machine=install.machine, machine_name=install.machine.name, serial=each.disk["serial"],
            wwn=each.disk["wwn"], is_proven=not each.problem, text=text, signature=b64encode(signature).decode(),
        )  # fmt: skip


def is_genuine(record: Erasure) -> bool:
    """Whether this Dodai wrote the record as it is now; False for one that was altered, in its text or its columns."""
    try:
        keys.signing_key(PURPOSE).public_key().verify(b64decode(record.signature), record.text.encode())
    except (InvalidSignature, ValueError):
        return False
    said = json.loads(record.text)
    columns = {"machine": record.machine_name, "serial": record.serial, "wwn": record.wwn, "proven": record.is_proven}
    return all(said.get(name) == value for name, value in columns.items())


def facts_of(record: Erasure) -> dict[str, Any]:
    """What it says; believe it only where it is genuine."""
    said: dict[str, Any] = json.loads(record.text)
    return said


def _facts(install: Install, each: Judged) -> dict[str, Any]:
    machine, method = install.machine, each.said.get("method", "")
    return {
        **each.said,
        "machine": machine.name, "machine_serial": machine.serial, "machine_uuid": machine.uuid, "attempt": install.pk,
        "serial": each.disk["serial"], "wwn": each.disk["wwn"], "size_bytes": each.disk["size_bytes"],
        "proven": not each.problem, "problem": each.problem, "asked_by": install.requested_by,
        "level": LEVELS[method] if not each.problem else "", "level_note": NOTE,
        "places": each.places, "sample_bytes": SAMPLE_BYTES,
        "granted_at": install.granted_at.isoformat() if install.granted_at else "", "reported_at": now().isoformat(),
    }  # fmt: skip
