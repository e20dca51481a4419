"""Which images there are, who uses them, and how one goes: retired, or deleted when nobody has it."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

from installs.images import iso
from installs.images.intake import digests_of, drivers_folder, image_path, named_digests, store_lock
from installs.lifecycle import State
from installs.models import Image, Install
from machines import doorbell
from machines.models import Machine

NAMED = 5  # machines that are named before "and 12 more"


class InUse(Exception):
    """The image cannot be deleted. The words say who has it, and what to do instead."""


@dataclass(frozen=True)
class Users:
    """Machines that are being installed with it, and those that run it."""

    installing: list[Machine] = field(default_factory=list)
    running: list[Machine] = field(default_factory=list)


def present() -> QuerySet[Any]:
    """Images with `attempts`, `successes` and `last_used_at`, deleted ones left out."""
    ended = Q(installs__state__in=[State.INSTALLED, State.FAILED])
    return Image.objects.present().annotate(
        attempts=Count("installs", filter=ended),
        successes=Count("installs", filter=Q(installs__state=State.INSTALLED)),
        last_used_at=Max("installs__queued_at"),
    )


def users(image: Image) -> Users:
    live = Install.objects.live().filter(image=image).values("machine")
    return Users(
        list(Machine.objects.filter(pk__in=live).order_by("name")),
        list(Machine.objects.filter(image_name=image.name).exclude(pk__in=live).order_by("name")),
    )


def delete(image: Image, *, by: str) -> None:
    """Take it away for good. Machines that once had it keep its name in their history. Raises InUse."""
    with store_lock(), transaction.atomic():
        image = Image.objects.select_for_update().get(pk=image.pk)
        _require_unused(image)
        if image.installs.exists():
            image.name, image.retired_at, image.deleted_at = f"{image.name[:40]} (deleted {image.pk})", now(), now()
            image.save(update_fields=["name", "retired_at", "deleted_at"])
        else:
            image.delete()
        transaction.on_commit(lambda: _remove_files(digests_of(image)))
    doorbell.tell_pages()


def retire(image: Image) -> None:
    """No new installs of it; what runs it stays."""
    Image.objects.filter(pk=image.pk, retired_at=None).update(retired_at=now())
    doorbell.tell_pages()


def bring_back(image: Image) -> None:
    Image.objects.filter(pk=image.pk, deleted_at=None).update(retired_at=None)
    doorbell.tell_pages()


def usual_seconds(image: Image) -> timedelta | None:
    """The middle of its last twenty installs that worked."""
    done = image.installs.filter(state=State.INSTALLED, ended_at__isnull=False).order_by("-pk")[:20]
    times = sorted(install.ended_at - install.queued_at for install in done if install.ended_at)
    return times[len(times) // 2] if times else None


def _require_unused(image: Image) -> None:
    found = users(image)
    if found.installing:
        raise InUse(
            _("%(image)s is being put on %(machines)s: wait for that or cancel it, then delete it.")
            % {"image": image.name, "machines": _named(found.installing)}
        )
    if found.running:
        raise InUse(
            _("%(machines)s run %(image)s: retire it instead, then nothing new is installed from it.")
            % {"image": image.name, "machines": _named(found.running)}
        )


def _named(machines: list[Machine]) -> str:
    names = ", ".join(machine.name for machine in machines[:NAMED])
    more = len(machines) - NAMED
    return _("%(names)s and %(n)s more") % {"names": names, "n": more} if more > 0 else names


def _remove_files(digests: set[str]) -> None:
    """Unless another image has the same content. Runs while the store is locked."""
    for digest in digests - named_digests():
        image_path(digest).unlink(missing_ok=True)
        (drivers_folder() / f"{digest}.json.gz").unlink(missing_ok=True)
        iso.index_path(digest).unlink(missing_ok=True)
