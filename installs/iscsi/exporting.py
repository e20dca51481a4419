"""What a ramdisk says and hears that exports its disk: which copy may write it, and by which secret.

A copy is one claim of the install, named by its fence. Each has a target and a secret of its own, so that whoever lost
the claim, and sleeps, finds on waking that what it wrote to is gone. The secret follows from the boot's token and is
stored nowhere.
"""

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from dodaiweb.durability import may_lose_the_last_second
from installs import flow, tokens
from installs.iscsi import portals
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Boot, Event, Install, add_event
from installs.rows import lock, save

COPY, COPIED, EXPORTED = "copy", "copied", "exported"  # events: Dodai began to write, it has written, the disk is there


@dataclass(frozen=True)
class Export:
    """How one copy reaches the disk."""

    copy: int
    target: str
    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Wanted:
    """What the ramdisk is to do: export for this copy, or for none; or to go on, as all is written."""

    export: Export | None = None
    is_copied: bool = False
    listening_at: str = ""  # address:port of an export


def ask(boot: Boot, said: dict[str, Any], *, address: str | None) -> Wanted | None:
    """A ramdisk that may write says for which copy its disk is exported now (0: none). None: its attempt has ended."""
    with may_lose_the_last_second(), transaction.atomic():
        install = lock(boot.install_id)
        if not install.granted_boot_id or not flow.may_speak(install, boot.boot_id):
            return None
        if install.silence:
            save(install, quiet_until=now() + install.silence)
        if install.events.filter(kind=Event.Kind.NOTE, name=COPIED).exists():
            return Wanted(is_copied=True)
        if install.state != State.WAITING or not install.owner:
            return Wanted()
        if said.get("copy") == install.fence:
            _note(install, {"copy": install.fence, "zeros": said.get("zeros") is True}, address)
        return Wanted(of(install, boot), listening_at=portals.listening_at(install, address))


def exports_disks(install: Install) -> bool:
    """Whether its method is one of those that Dodai writes for."""
    return bool(getattr(METHODS.get(install.method), "exports_disk", False))


def of(install: Install, boot: Boot) -> Export:
    """For the copy that has the claim now."""
    copy = install.fence
    secret = tokens.following(boot.token_hash, boot.boot_id, purpose=f"iscsi {copy}")
    name = f"i{install.pk}c{copy}"
    return Export(copy, f"iqn.2026-11.dodai:{name}", name, secret)


def found(install: Install) -> Event | None:
    """What the ramdisk said last of its export, if that is for the present copy."""
    event = install.events.filter(kind=Event.Kind.MACHINE, name=EXPORTED).first()
    return event if event and event.data.get("copy") == install.fence else None


def _note(install: Install, data: dict[str, Any], address: str | None) -> None:
    """One event, which says what holds now: a machine says each thing once."""
    earlier = install.events.filter(kind=Event.Kind.MACHINE, name=EXPORTED).first()
    if earlier is None:
        add_event(install, Event.Kind.MACHINE, EXPORTED, address=address, data=data)
    elif earlier.data.get("copy") != data["copy"]:
        Event.objects.filter(pk=earlier.pk).update(data=data, address=address, repeated=earlier.repeated + 1)
