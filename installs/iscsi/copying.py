"""Writes disks that machines export, a few at once, each in a thread of this process.

The row is the truth here too: a copy is a claim of a waiting install, with owner, fence and lease, which is renewed
every second. Whoever loses it ends qemu-img at once. Who is killed loses it, and another process begins anew, from the
image's first byte and under another secret, in the same attempt: the write grant is the machine's and stays as it is.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils.timezone import now

from dodaiweb.durability import may_lose_the_last_second
from installs import ending
from installs.claim import LEASE, Claim, ClaimLost, new_owner
from installs.iscsi import exporting, portals, source, tools, writer
from installs.iscsi.writer import CannotWrite
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Event, Image, Install, add_event
from installs.ramdisk import RamdiskError
from installs.rows import lock, save
from machines import doorbell

logger = logging.getLogger(__name__)

TURN, WRITE = "turn", "write"  # phases: before and while Dodai writes
COPY_OVERHEAD = timedelta(minutes=10)
AFTER_COPY = timedelta(minutes=15)
SLOWEST_BYTES_PER_SECOND = 2_000_000
MOST_COPIES = 5  # of one attempt, before it is given up
EXPORT_SECONDS = 90.0
BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.3
TOOLS_AGAIN_SECONDS = 300.0


class Copier:
    """This process's copies."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._threads = say, list[threading.Thread]()
        self._tools_at = -TOOLS_AGAIN_SECONDS

    def turn(self) -> None:
        """Begin what is due and has a place."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        while len(self._threads) < settings.ISCSI_COPIES and self._has_tools() and (claim := _claim()):
            self._say(
                f"{claim.machine.name}: writing {claim.install.plan['image']['name']}, copy {claim.install.fence}"
            )
            thread = threading.Thread(target=_in_thread, args=(claim,), name=f"copy-{claim.install.pk}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait(self, seconds: float) -> None:
        """For what is being copied now."""
        for thread in self._threads:
            thread.join(seconds)

    def _has_tools(self) -> bool:
        if tools.found(settings.DATA):
            return True
        if time.monotonic() - self._tools_at >= TOOLS_AGAIN_SECONDS and is_wanted():
            self._tools_at = time.monotonic()
            try:
                tools.fetch(settings.DATA, self._say)
            except (RamdiskError, OSError) as problem:
                _refuse_due(
                    f"Dodai has no qemu-img that speaks iSCSI: install the Debian package qemu-block-extra ({problem})"
                )
        return bool(tools.found(settings.DATA))


def is_wanted() -> bool:
    """Whether there is an image whose disk Dodai would write."""
    return Image.objects.present().filter(method__in=_methods(), retired_at=None).exists()


def _refuse_due(words: str) -> None:
    logger.error(words)
    for install in _due().select_related("machine"):
        ending.stop(install.pk, cause="no-qemu", error=f"{install.machine.name}: {words}")


def _methods() -> list[str]:
    return [method.slug for method in METHODS.values() if getattr(method, "exports_disk", False)]


def _due() -> QuerySet[Install]:
    """Whose ramdisk waits for a copy that nobody makes."""
    free = Q(lease_until=None) | Q(lease_until__lt=now())
    copied = Event.objects.filter(kind=Event.Kind.NOTE, name=exporting.COPIED)
    waiting = Install.objects.filter(free, method__in=_methods(), state=State.WAITING, phase__in=(TURN, WRITE))
    return waiting.filter(granted_at__isnull=False).exclude(pk__in=copied.values("install"))


def _claim() -> Claim | None:
    moment, due = now(), _due()
    if not due.exists():
        return None
    with transaction.atomic():
        skips = connection.features.has_select_for_update_skip_locked
        locking = due.order_by("granted_at", "pk").select_for_update(of=("self",), skip_locked=skips)
        install = locking.select_related("machine__site", "machine__bmc").first()
        if install is None:
            return None
        copies = install.events.filter(kind=Event.Kind.NOTE, name=exporting.COPY).count()
        if copies >= MOST_COPIES:
            words = (
                f"{install.machine.name}: Dodai began to write its disk {copies} times and never ended: see its log."
            )
            ending.stop_locked(install, cause="iscsi", error=words)
            return None
        bytes_moved = 2 * install.plan["image"]["unpacked_bytes"]
        may_take = COPY_OVERHEAD + timedelta(seconds=bytes_moved / SLOWEST_BYTES_PER_SECOND)
        save(
            install, owner=new_owner(), fence=F("fence") + 1, lease_until=moment + LEASE, waits_since=moment,
            give_up_at=moment + may_take, done_bytes=0, bytes_per_second=0,
        )  # fmt: skip
        install.refresh_from_db(fields=["fence"])
        again = ", once more from its beginning" if copies else ""
        add_event(install, Event.Kind.NOTE, exporting.COPY, text=f"Dodai writes the disk{again}")
        return Claim(install)


def _copy(claim: Claim) -> None:
    """What it comes to is stored, if the claim is still its own."""
    try:
        _carry_out(claim)
    except ClaimLost:
        logger.info("install %s: copy %s is no longer wanted", claim.install.pk, claim.install.fence)
    except CannotWrite as problem:
        _fail(claim, str(problem), cause=problem.cause)
    except Exception as problem:
        logger.exception("install %s: copy %s", claim.install.pk, claim.install.fence)
        words = f"a fault in Dodai itself ({type(problem).__name__}): see the log of copy_images."
        _fail(claim, words, cause="bug")


def _in_thread(claim: Claim) -> None:
    try:
        _copy(claim)
    finally:
        connection.close()


def _carry_out(claim: Claim) -> None:
    install, image, began = claim.install, claim.install.plan["image"], time.monotonic()
    beat = _Beat(claim)
    raw = source.raw_of(image, beat)
    boot = install.boots.get(boot_id=install.granted_boot_id)
    event, export = _exported(claim, beat), exporting.of(install, boot)
    address, port = portals.of(install, event.address)
    program = tools.found(settings.DATA)
    assert program, "looked for before the claim"
    target = writer.Target(
        address, port, export.target, export.user, export.secret, holds_zeros=event.data.get("zeros") is True
    )
    install.events.get_or_create(kind=Event.Kind.PHASE, name=WRITE)
    beat.begin(image["unpacked_bytes"])
    writer.write(raw, target, beat.told, program=program.command, environment=program.environment)
    _store(claim, image["unpacked_bytes"], time.monotonic() - began)


def _exported(claim: Claim, beat: "_Beat") -> Event:
    """Wait until the ramdisk has exported its disk for this copy."""
    end = time.monotonic() + EXPORT_SECONDS
    while time.monotonic() < end:
        if event := exporting.found(claim.install):
            return event
        beat()
        time.sleep(LOOK_SECONDS)
    raise CannotWrite(
        f"its ramdisk did not export its disk in {EXPORT_SECONDS:.0f} s: look at its console.", cause="silent"
    )


class _Beat:
    """Called often; once a second it renews the claim and stores how far the copy is. Raises ClaimLost."""

    def __init__(self, claim: Claim) -> None:
        self._claim, self._at, self._stored_at = claim, 0.0, time.monotonic()
        self._total, self._began, self._columns = 0, 0.0, dict[str, object]()

    def begin(self, total_bytes: int) -> None:
        """From now on there is something to tell of."""
        self._total, self._began, self._at = total_bytes, time.monotonic(), 0.0
        self.told(0.0)

    def told(self, share: float) -> None:
        done, seconds = int(share * self._total), max(time.monotonic() - self._began, BEAT_SECONDS)
        self._columns = {
            "phase": WRITE, "done_bytes": done, "total_bytes": self._total, "progress_at": now(),
            "bytes_per_second": int(done / seconds),
        }  # fmt: skip
        self()

    def __call__(self) -> None:
        moment = time.monotonic()
        if moment - self._at < BEAT_SECONDS:
            return
        self._at = moment
        try:
            with may_lose_the_last_second():
                self._claim.keep(lease_until=now() + LEASE, **self._columns)
        except DatabaseError:  # it may be back before the lease is over
            connection.close()
            if moment - self._stored_at > LEASE.total_seconds():
                raise ClaimLost from None
            return
        self._stored_at = moment
        doorbell.tell_pages(install=self._claim.install.pk, machine=self._claim.install.machine_id)


def _store(claim: Claim, size: int, seconds: float) -> None:
    with transaction.atomic():
        install = lock(claim.install.pk)
        claim.check(install)
        moment = now()
        save(install, owner="", lease_until=None, done_bytes=size, waits_since=moment, give_up_at=moment + AFTER_COPY)
        text = f"Dodai has written {size >> 20} MiB in {seconds:.0f} s"
        add_event(install, Event.Kind.NOTE, exporting.COPIED, text=text)


def _fail(claim: Claim, words: str, *, cause: str) -> None:
    try:
        with transaction.atomic():
            install = lock(claim.install.pk)
            claim.check(install)
            ending.stop_locked(install, cause=cause, error=f"{install.machine.name}: {words}")
    except ClaimLost:
        logger.info("install %s: %s; it was somebody else's by then", claim.install.pk, cause)
    except DatabaseError:
        logger.exception("install %s: %s could not be stored, it is begun anew", claim.install.pk, cause)
