"""Takes image files in: checked, named by their digest, and immutable from then on."""

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from installs.images import contract, contract_words, iso, qcow2
from installs.images.contract import BadImage, Report, disk, squashfs
from installs.images.contract.disk import DiskReport
from installs.images.contract.drivers import Drivers
from installs.images.contract.drivers import save as save_drivers
from installs.images.contract.squashfs import SquashfsReport
from installs.images.iso import IsoReport
from installs.images.kinds import DISKS, Contents, ImageProblem, look_into
from installs.methods import METHODS
from installs.models import Image

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 1 << 30  # what must stay free on the data disk: the database and the logs live there too


Told = Callable[[str, int, int], None]  # phase, bytes done, bytes in all


def _unheard(phase: str, done: int, total: int) -> None:
    pass


def add_image(
    path: Path, *, name: str, sha256: str = "", unpacked_bytes: int | None = None,
    say: Callable[[str], None] = lambda text: None, **fields: Any,
) -> Image:  # fmt: skip
    """Copy a file into the store and enter it as `name`. The same file is stored once. Raises ImageProblem.

    `sha256` is what its publisher says; `fields` are further columns of Image, like root_mib.
    """
    half = incoming() / uuid.uuid4().hex
    told = _Percents(say, path.name)
    try:
        with _in_words(path):
            require_unused(name)
            if not qcow2.is_one(path):
                look_into(path)
            require_room(path.stat().st_size)
            half.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            copy(path, half, told)
        return enter(half, name=name, label=path.name, sha256=sha256, unpacked_bytes=unpacked_bytes, **fields)
    finally:
        half.unlink(missing_ok=True)


def enter(
    file: Path, *, name: str, label: str, sha256: str = "", unpacked_bytes: int | None = None, told: Told = _unheard,
    replaces: bool = False, then: Callable[[Image], None] = lambda image: None, **fields: Any,
) -> Image:  # fmt: skip
    """Make a file in `incoming()` an image: read, checked against the contract, linked into the store, entered.

    `label` is what people call the file. The file itself stays where it is, so that whoever is killed in here can do
    it again. With `replaces` an image of that name steps aside, retired. `then` runs in the transaction that enters the
    image. Raises ImageProblem and then changes nothing.
    """
    with _in_words(file), _converted(file, label, sha256, told) as (file, said):
        contents = look_into(file, label)
        _require_fitting(fields.get("method", ""), contents.kind, label)
        digest = hash_of(file, told)
        if sha256 and not said and digest != sha256.lower():
            raise _wrong_digest(label, digest, sha256)
        report, drivers = _checked(file, contents, label, told)
        # A file system tells what of it is used; what an archive tells is its own length.
        told_bytes = contents.unpacked_bytes if contents.kind == Image.Kind.EXT4 else None
        with store_lock():
            stored = image_path(digest)
            if not stored.exists():
                stored.hardlink_to(file)
                sync_folder(stored.parent)
            if drivers:
                save_drivers(drivers, drivers_folder(), digest)
            if isinstance(report, IsoReport):
                iso.save(report, digest)
                fields = _of_installer(report) | {name: value for name, value in fields.items() if value}
            return _row(
                name, replaces=replaces, then=then, kind=contents.kind, sha256=digest, size_bytes=file.stat().st_size,
                unpacked_bytes=unpacked_bytes or told_bytes or report.unpacked_bytes, report=report.as_json() | said,
                method=fields.pop("method", "") or next(iter(methods_for(contents.kind)), ""), **fields,
            )  # fmt: skip


@contextmanager
def _converted(file: Path, label: str, sha256: str, told: Told) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file to be stored, and what the report says of the one that it was made of: qcow2 becomes raw.zst.

    Nothing looks into a qcow2 before its digest was compared with the publisher's.
    """
    if not qcow2.is_one(file):
        yield file, {}
        return
    digest = hash_of(file, told)
    if sha256 and digest != sha256.lower():
        raise _wrong_digest(label, digest, sha256)
    raw, packed = file.with_suffix(".raw"), file.with_suffix(".zst")
    try:
        require_room(2 * file.stat().st_size)
        try:
            qcow2.convert(file, raw, packed, lambda done, total: told("convert", done, total))
        except qcow2.Refused as problem:
            raise ImageProblem(f"{label}: {problem}") from problem
        yield packed, {"converted_from": {"kind": "qcow2", "sha256": digest}}
    finally:
        raw.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)


def _of_installer(report: IsoReport) -> dict[str, Any]:
    """Columns of an image whose ISO carries an installer that is known; people change them in the admin."""
    method, kernel, initrd = report.suits
    settings_of = {"kernel": kernel, "initrd": initrd, "options": "", "place": "", "answers": ""}
    return {"method": method, "metadata": settings_of} if method else {}


def _wrong_digest(label: str, digest: str, sha256: str) -> ImageProblem:
    return ImageProblem(f"the digest of {label} is {digest}, not {sha256.lower()}: fetch the file again")


def methods_for(kind: str) -> list[str]:
    """Those that install images of that kind, in the order of the setting; the first one does, unless told."""
    return [slug for slug, method in METHODS.items() if kind in method.kinds]


def _require_fitting(method: str, kind: str, label: str) -> None:
    fitting = methods_for(kind)
    if method and method not in fitting:
        ways = ", ".join(fitting) or "no method"
        raise ImageProblem(f"{label} is of the kind {kind}, which {method!r} does not install; {ways} does")


def _row(name: str, *, replaces: bool, then: Callable[[Image], None], **columns: Any) -> Image:
    try:
        with transaction.atomic():
            if replaces:
                set_aside(name)
            image = Image.objects.create(name=name, **columns)
            then(image)
            return image
    except IntegrityError as exc:
        raise ImageProblem(f"somebody else entered an image {name!r} at this moment: choose another name") from exc


def set_aside(name: str) -> None:
    """An older image of that name stays for its history, under another name and retired."""
    for old in Image.objects.filter(name=name):
        old.name, old.retired_at = f"{name} {old.sha256[:8]}-{old.pk}", old.retired_at or now()
        old.save(update_fields=["name", "retired_at"])


def require_unused(name: str, *, besides_builds: bool = False) -> None:
    """With `besides_builds` an image that was built here may have the name: the next build takes its place."""
    taken = Image.objects.filter(name=name)
    if (taken.filter(recipe="") if besides_builds else taken).exists():
        raise ImageProblem(f"there is an image {name!r} already: images never change, choose another name")


def image_path(digest: str) -> Path:
    folder: Path = settings.DATA / "images"
    return folder / digest


def digests_of(image: Image) -> set[str]:
    """Of the files that it has in the store."""
    return {image.sha256, *(str(file["sha256"]) for file in image.files.values())} - {""}


def named_digests() -> set[str]:
    """Of the files that some image has."""
    return set().union(*(digests_of(image) for image in Image.objects.present().only("sha256", "files")))


def incoming() -> Path:
    """Files that are not yet images."""
    folder: Path = settings.DATA / "images" / "incoming"
    return folder


def drivers_folder() -> Path:
    folder: Path = settings.DATA / "image-drivers"
    return folder


@contextmanager
def store_lock() -> Iterator[None]:
    """One at a time enters or removes files of the store. Held for as long as a link and a row take."""
    folder: Path = settings.DATA / "images"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _checked(
    file: Path, contents: Contents, label: str, told: Told
) -> tuple[Report | DiskReport | IsoReport | SquashfsReport, Drivers | None]:  # fmt: skip
    try:
        if contents.kind == Image.Kind.ISO:
            return iso.look_into(file), None
        if contents.kind == Image.Kind.SQUASHFS:
            return squashfs.look_into(file), None
        if contents.kind in DISKS:
            return disk.look_into(file, contents.kind, lambda done, total: told("check", done, total)), None
        report, drivers = contract.look_into(file, contents.kind, lambda done, total: told("check", done, total))
    except BadImage as problem:
        raise ImageProblem(f"{label} is no image that can be installed: {problem}") from problem
    if report.problems:
        reasons = " ".join(contract_words.words(code) for code in report.problems)
        raise ImageProblem(f"{label} cannot be installed by copying its files: {reasons}")
    return report, drivers


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise ImageProblem(f"the disk of {settings.DATA} is full: make room, nothing was stored") from exc
        raise ImageProblem(f"cannot read {path}: {exc.strerror}") from exc


def copy(source: Path, target: Path, told: Told = _unheard) -> None:
    """Copy durably. `told` hears the bytes of the phase "copy"."""
    total, done = source.stat().st_size, 0
    with source.open("rb") as file, target.open("wb") as sink:
        while chunk := file.read(CHUNK_BYTES):
            sink.write(chunk)
            done += len(chunk)
            told("copy", done, total)
        sink.flush()
        os.fsync(sink.fileno())


def hash_of(file: Path, told: Told = _unheard) -> str:
    """SHA-256 of a file, which is on the disk for good afterwards. `told` hears the bytes of the phase "verify"."""
    summed, done, total = hashlib.sha256(), 0, file.stat().st_size
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            summed.update(chunk)
            done += len(chunk)
            told("verify", done, total)
        os.fsync(source.fileno())
    return summed.hexdigest()


def require_room(size: int) -> None:
    settings.DATA.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.DATA).free
    if free < size + SPARE_BYTES:
        raise ImageProblem(
            f"the disk of {settings.DATA} has {free >> 20} MiB free, the image needs {size >> 20} MiB and "
            f"{SPARE_BYTES >> 20} MiB must stay free: make room first"
        )


class _Percents:
    """Says every tenth of a phase."""

    def __init__(self, say: Callable[[str], None], name: str) -> None:
        self._say, self._name, self._last = say, name, 0

    def __call__(self, phase: str, done: int, total: int) -> None:
        tenth = done * 10 // total if total else 0
        if tenth > self._last:
            self._last = tenth
            self._say(f"{self._name}: {tenth * 10} % taken in")


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
