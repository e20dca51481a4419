"""Taking in images, as operators ask for it: each import is a row; importer.py does what the rows say."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

from installs.images import debian, fetching
from installs.images.intake import incoming, require_room, require_unused
from installs.images.kinds import ImageProblem
from installs.models import Image, ImageImport
from machines import doorbell

State = ImageImport.State
Source = ImageImport.Source

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,62}")
DIGEST = re.compile(r"[0-9a-f]{64}")
PART_BYTES = 8 << 20  # of an upload, a request
MAX_UPLOAD_BYTES = 64 << 30
UPLOAD_SILENCE = timedelta(hours=1)
NUMBERS = ("root_mib", "swap_mib", "ephemeral_mib", "kdump_mib", "min_memory_mib")
MOST_MIB = 1 << 31


class Refused(Exception):
    """The words say why and what to do; nothing was changed."""


class OutOfPlace(Refused):
    """A part of an upload that does not follow what is there; `held` says where to go on."""

    def __init__(self, held: int) -> None:
        super().__init__(_("%(n)d bytes are here: go on behind them.") % {"n": held})
        self.held = held


def ask_upload(name: str, file_name: str, size: int, *, by: str, sha256: str = "", **fields: Any) -> ImageImport:
    """An upload that waits for its parts. Raises Refused."""
    if not 0 < size <= MAX_UPLOAD_BYTES:
        raise Refused(_("A file of %(n)d bytes cannot be an image.") % {"n": size})
    try:
        require_room(size)
    except ImageProblem as problem:
        raise Refused(str(problem)) from problem
    return _ask(
        name, Source.UPLOAD, Path(file_name).name[:200], by=by, sha256=sha256, fields=fields,
        state=State.RECEIVING, phase="receive", total=size, progress_at=now(),
    )  # fmt: skip


def ask_url(name: str, url: str, *, by: str, sha256: str = "", **fields: Any) -> ImageImport:
    """Raises Refused for what will never be fetched; whether the address is allowed is seen when it is resolved."""
    try:
        fetching.checked(url)
    except fetching.FetchProblem as problem:
        raise Refused(str(problem)) from problem
    return _ask(name, Source.URL, ImageImport.sealed(url), by=by, sha256=sha256, fields=fields)


def ask_path(name: str, path: str, *, by: str, sha256: str = "", **fields: Any) -> ImageImport:
    """A file below one of the folders in DODAI_IMAGE_FOLDERS. Raises Refused."""
    return _ask(name, Source.PATH, str(allowed_file(path)), by=by, sha256=sha256, fields=fields)


def ask_debian(*, by: str) -> ImageImport:
    """Build the real Debian 12. Raises Refused."""
    fields = {"swap_mib": debian.SWAP_MIB, "min_memory_mib": debian.MIN_MEMORY_MIB, "recipe": debian.version()}
    return _enter(name=debian.IMAGE_NAME, source=Source.DEBIAN, requested_by=by, fields=fields)


def wants_debian() -> bool:
    """Whether there is no Debian 12 of the present recipe, nobody is at one, and no other image has its name."""
    ours, other = Q(recipe=debian.version()), Q(name=debian.IMAGE_NAME, recipe="")
    have = Image.objects.present().filter(ours | other).exists()
    return not have and not ImageImport.objects.filter(source=Source.DEBIAN, state__in=ImageImport.LIVE).exists()


def allowed_file(path: str) -> Path:
    """The file without links, if it is a plain one below an allowed folder. Raises Refused."""
    folders = [folder.resolve() for folder in settings.IMAGE_FOLDERS]
    if not folders:
        raise Refused(
            _("No folder of the server is open for images: start Dodai with DODAI_IMAGE_FOLDERS=/some/folder.")
        )
    try:
        real = Path(path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        real = None
    # One answer for what is missing and what is elsewhere: nobody learns here which files the server has.
    if real is None or not any(real.is_relative_to(folder) for folder in folders) or not real.is_file():
        named = ", ".join(map(str, folders))
        raise Refused(_("There is no such file below %(folders)s.") % {"folders": named})
    return real


def receive_part(number: int, at: int, data: bytes) -> int:
    """Write one part of an upload; returns how many bytes are there now. Raises Refused or OutOfPlace."""
    if len(data) > PART_BYTES:
        raise Refused(_("A part may have %(n)d bytes.") % {"n": PART_BYTES})
    with transaction.atomic():
        wanted = ImageImport.objects.select_for_update().filter(pk=number, state=State.RECEIVING).first()
        if wanted is None:
            raise Refused(_("This upload is not going on any more."))
        held = min(wanted.done, _size(part_file(wanted)))  # a power cut may have taken what was not yet on the disk
        if at != held:
            raise OutOfPlace(held)
        if at + len(data) > wanted.total:
            raise Refused(_("The file is longer than was said."))
        _write(part_file(wanted), at, data)
        wanted.done, wanted.progress_at = at + len(data), now()
        if wanted.done == wanted.total:
            wanted.state, wanted.phase, wanted.done = State.WAITING, "", wanted.total
        wanted.save(update_fields=["done", "progress_at", "state", "phase"])
    doorbell.tell_pages()
    return wanted.done


def part_file(wanted: ImageImport) -> Path:
    """Where the bytes of an import are until they are an image."""
    return incoming() / f"import-{wanted.pk}"


def cancel(wanted: ImageImport, *, by: str) -> None:
    """Whoever works on it notices within seconds. Raises Refused."""
    live = ImageImport.objects.filter(pk=wanted.pk, state__in=ImageImport.LIVE)
    if not live.update(state=State.CANCELLED, cancelled_by=by, ended_at=now(), lease_until=None):
        raise Refused(_("This import has ended already."))
    doorbell.tell_pages()


def try_again(ended: ImageImport, *, by: str) -> ImageImport:
    """Ask for the same once more. Raises Refused."""
    if ended.state not in (State.FAILED, State.CANCELLED) or ended.source == Source.UPLOAD:
        raise Refused(_("An upload has to be sent again by its browser: choose the file once more."))
    if ended.source == Source.DEBIAN:
        return ask_debian(by=by)
    ask = ask_url if ended.source == Source.URL else ask_path
    return ask(ended.name, ended.place, by=by, sha256=ended.sha256, **ended.fields)


def expire_uploads() -> None:
    """Uploads whose browser has gone for good."""
    silent = ImageImport.objects.filter(state=State.RECEIVING, progress_at__lt=now() - UPLOAD_SILENCE)
    silent.update(
        state=State.FAILED, error="The upload stopped: nothing came for an hour. Send it again.", ended_at=now()
    )


def _ask(
    name: str, source: Source, location: str, *, by: str, sha256: str, fields: Mapping[str, Any], **columns: Any
) -> ImageImport:
    name, sha256 = name.strip(), sha256.strip().lower()
    if not NAME.fullmatch(name):
        raise Refused(_("A name begins with a letter or digit and has letters, digits, spaces and ._+- (63 at most)."))
    if sha256 and not DIGEST.fullmatch(sha256):
        raise Refused(_("A SHA-256 digest has 64 hexadecimal digits."))
    return _enter(
        name=name, source=source, location=location, sha256=sha256, requested_by=by, fields=_fields(fields), **columns
    )


def _enter(**columns: Any) -> ImageImport:
    name = columns["name"]
    try:
        require_unused(name, besides_builds=columns["source"] == Source.DEBIAN)
        with transaction.atomic():
            entered = ImageImport.objects.create(**columns)
    except ImageProblem as problem:
        raise Refused(str(problem)) from problem
    except IntegrityError as problem:
        raise Refused(_("An image %(name)s is being taken in already.") % {"name": name}) from problem
    doorbell.tell_pages()
    return entered


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the image, checked as the inventory checks them."""
    known = {name: given[name] for name in (*NUMBERS, "kernel_args") if given.get(name)}
    for name in NUMBERS:
        value = known.get(name, 0)
        if not isinstance(value, int) or not 0 <= value < MOST_MIB:
            raise Refused(_("%(name)s is not a number of MiB.") % {"name": name})
    for check in Image._meta.get_field("kernel_args").validators:
        _check(check, known.get("kernel_args", ""))
    return known


def _check(check: Any, value: str) -> None:
    try:
        if value:
            check(value)
    except ValidationError as problem:
        raise Refused(" ".join(problem.messages)) from problem


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _write(path: Path, at: int, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(at)
        file.write(data)
        file.truncate()
