"""What a ramdisk may say during an install, beside asking for the write grant."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Length
from django.utils.timezone import now

from dodaiweb.durability import may_lose_the_last_second
from installs import ending, flow
from installs.erasing import records, report
from installs.methods import METHODS
from installs.models import LOG_LIMIT_BYTES, Boot, Event, Install, LogChunk, add_event
from installs.rows import lock, save
from machines import actions, doorbell, facts

RATE_MEMORY = 0.6  # how much of the shown rate is what it was a moment ago
WORTH_WRITING, WORTH_WRITING_AFTER = 100, timedelta(seconds=0.5)  # a hundredth of the whole, or so long after the last
MOST_LOGS_IN_MIND = 1000
_log_lengths: dict[tuple[int, datetime], int] = {}  # by install; only the provisioning listener adds to logs
BIGGEST = 1 << 62
AS_READ = ("state", "step", "granted_boot_id", "phase", "done_bytes")  # what must not change beneath a progress
READ_OF_INSTALL = (*AS_READ, "machine", "method", "silence", "total_bytes", "progress_at", "bytes_per_second")
# What these mean decides what is done; no machine may say them.
OUR_CAUSES = ("identity", "protected", "cancelled", "not-erased")


def hear(boot: Boot, name: str, body: bytes, *, address: str | None) -> str:
    """Take one event. Answers applied, duplicate, late, ended (410), unknown (404) or bad (400)."""
    if name == "log":
        with may_lose_the_last_second():
            return _log(boot, body.decode(errors="replace"))
    try:
        data = facts.load(body or b"{}")
    except (ValueError, RecursionError):
        return "bad"
    if not isinstance(data, dict):
        return "bad"
    if name == "progress":
        return _progress(boot, data)
    if name == "failed":
        return _failed(boot, data)
    if name == "inspected":
        return _inspected(boot, data, address=address)
    if name == "deleted":
        return _deleted(boot, data, address=address)
    if METHODS[boot.install.method].step_after(name) is None or name == "installed":
        return "unknown"
    return flow.receive(boot.install_id, name, boot_id=boot.boot_id, address=address, data=_small(data))


def _progress(boot: Boot, data: dict[str, Any]) -> str:
    phase = str(data.get("phase", ""))[:31]
    done, total = _bytes(data.get("done_bytes")), _bytes(data.get("total_bytes"))
    is_same = (
        phase == boot.install.phase and done >= boot.install.done_bytes and flow.may_speak(boot.install, boot.boot_id)
    )
    if is_same and not _is_worth_writing(boot.install, done, total):
        return "applied"
    with may_lose_the_last_second():
        if is_same and _more_of_the_same(boot.install, done, total):
            return "applied"
        return _other_progress(boot, phase, done, total)


def _is_worth_writing(install: Install, done: int, total: int) -> bool:
    told_at = install.progress_at
    is_soon = told_at is not None and now() - told_at < WORTH_WRITING_AFTER
    return not is_soon or (done - install.done_bytes) * WORTH_WRITING >= total


def _more_of_the_same(install: Install, done: int, total: int) -> bool:
    """The usual progress in one statement, as it comes from every machine every second. False: look closer."""
    moment = now()
    as_read = {name: getattr(install, name) for name in AS_READ}
    progress = {
        "done_bytes": done, "total_bytes": total, "progress_at": moment,
        "bytes_per_second": _rate(install, done, moment), **_still_there(install),
    }  # fmt: skip
    if not Install.objects.filter(pk=install.pk, **as_read).update(**progress):
        return False  # something happened meanwhile
    doorbell.tell_pages_soon(install=install.pk, machine=install.machine_id)
    return True


def _other_progress(boot: Boot, phase: str, done: int, total: int) -> str:
    with transaction.atomic():
        install = lock(boot.install_id)
        if not flow.may_speak(install, boot.boot_id):
            return "ended"
        if phase not in METHODS[install.method].phases:
            return "unknown"
        if phase != install.phase:
            # Each phase begins once; their order depends on whether the image fits into memory.
            _, is_new = install.events.get_or_create(kind=Event.Kind.PHASE, name=phase)
            if not is_new:
                return "late"
            install.done_bytes, install.bytes_per_second = 0, 0
        elif done < install.done_bytes:
            return "late"
        moment = now()
        save(
            install, phase=phase, done_bytes=done, total_bytes=total, progress_at=moment,
            bytes_per_second=_rate(install, done, moment), **_still_there(install),
        )  # fmt: skip
        return "applied"


def _rate(install: Install, done: int, moment: Any) -> int:
    """Bytes a second, smoothed. `install` is as it was before this progress."""
    if install.progress_at is None or done <= install.done_bytes:
        return install.bytes_per_second
    seconds = (moment - install.progress_at) / timedelta(seconds=1)
    if seconds < 0.2:
        return install.bytes_per_second
    fresh = (done - install.done_bytes) / seconds
    old = install.bytes_per_second or fresh
    return min(int(RATE_MEMORY * old + (1 - RATE_MEMORY) * fresh), BIGGEST)


def _log(boot: Boot, words: str) -> str:
    with transaction.atomic():
        install = lock(boot.install_id)
        if not flow.may_speak(install, boot.boot_id):
            return "ended"
        used = _log_length(install)
        text = words.replace("\0", "")[: max(LOG_LIMIT_BYTES - used, 0)]
        if text:
            LogChunk.objects.create(install=install, text=text)
            _log_lengths[install.pk, install.queued_at] = used + len(text)
        if still_there := _still_there(install):
            Install.objects.filter(pk=install.pk).update(**still_there)
        doorbell.tell_pages_soon(install=install.pk, machine=install.machine_id)
        return "applied"


def _log_length(install: Install) -> int:
    """Counted once and then kept in mind: a log of ten megabytes is not read again for each line of it."""
    if (install.pk, install.queued_at) not in _log_lengths:
        if len(_log_lengths) >= MOST_LOGS_IN_MIND:
            _log_lengths.clear()
        found = install.log.aggregate(total=Sum(Length("text")))["total"]
        _log_lengths[install.pk, install.queued_at] = found or 0
    return _log_lengths[install.pk, install.queued_at]


def _failed(boot: Boot, data: dict[str, Any]) -> str:
    phase, message = str(data.get("phase", ""))[:31], str(data.get("message", "")).strip()[:500]
    where = f"line {data['line']}: {str(data.get('command', ''))[:300]}\n" if data.get("line") else ""
    with transaction.atomic():
        install = lock(boot.install_id)
        if not flow.may_speak(install, boot.boot_id):
            return "ended"
        add_event(install, Event.Kind.NOTE, "failed", text=f"{phase}: {message}", data=_small(data))
        ending.stop_locked(
            install,
            cause=_slug(data.get("cause")),
            error=f"{install.machine.name}: {message or 'the installer failed'}",
            detail=where + str(data.get("output", "")),
        )
        return "applied"


def _inspected(boot: Boot, data: dict[str, Any], *, address: str | None) -> str:
    try:
        found = facts.parse(data)
    except facts.BadFacts:
        return "bad"
    with transaction.atomic():
        install = lock(boot.install_id)
        if not flow.may_speak(install, boot.boot_id):
            return "ended"
        if METHODS[install.method].step_after("inspected") is None:
            return "unknown"
        try:
            actions.apply_facts(install.machine, found)
        except actions.NotThisMachine as exc:
            ending.stop_locked(install, cause="identity", error=str(exc))
            return "applied"
    return flow.receive(boot.install_id, "inspected", boot_id=boot.boot_id, address=address)


def _deleted(boot: Boot, data: dict[str, Any], *, address: str | None) -> str:
    """All disks of the plan are said to be erased. It is believed of those only that can be shown to be."""
    with transaction.atomic():
        install = lock(boot.install_id)
        if not flow.may_speak(install, boot.boot_id):
            return "ended"
        if METHODS[install.method].step_after("deleted") is None or install.granted_boot_id != boot.boot_id:
            return "unknown"  # who was not granted erased nothing
        if METHODS[install.method].writes_all_disks and not _has_said(install, "deleted"):
            judged = report.judge(install.plan, data)
            records.keep(install, judged)
            if why := report.why_not(install.plan, data, judged):
                add_event(install, Event.Kind.NOTE, "not-erased", text=why, address=address)
                ending.stop_locked(install, cause="not-erased", error=f"{install.machine.name}: {why}")
                return "applied"
        return flow.receive(boot.install_id, "deleted", boot_id=boot.boot_id, address=address)


def _has_said(install: Install, name: str) -> bool:
    return install.events.filter(kind=Event.Kind.MACHINE, name=name).exists()


def _still_there(install: Install) -> dict[str, Any]:
    return {"quiet_until": now() + install.silence} if install.silence else {}


def _bytes(value: object) -> int:
    return min(max(value, 0), BIGGEST) if isinstance(value, int) else 0


def _slug(value: object) -> str:
    text = "".join(c for c in str(value or "script").lower() if c.isalnum() or c == "-")
    return "script" if text in OUR_CAUSES else text[:50] or "script"


def _small(data: dict[str, Any]) -> dict[str, Any]:
    """What is worth keeping of an event's body: the facts themselves are kept by inspection only."""
    return {
        key: value
        for key, value in data.items()
        if key in {"seconds", "boot_order", "boot_id", "firmware", "phase", "line"}
    }
