"""Takes image files in: checked, named by their digest, and immutable from then on."""

import errno
import hashlib
import os
import shutil
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from installs.models import Image

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 1 << 30  # what must stay free on the data disk: the database and the logs live there too
EXT4_SUPERBLOCK = 1024  # ext4(5): offset of the superblock, and of fields in it
EXT4_MAGIC, EXT4_MAGIC_AT = 0xEF53, 0x38
ZSTD_MAGIC = 0xFD2FB528  # RFC 8878, 3.1.1


class ImageProblem(Exception):
    """The file cannot be used. The message says why and what to do."""


@dataclass(frozen=True)
class Contents:
    kind: Image.Kind
    unpacked_bytes: int | None
    """None when the file does not tell."""


def add_image(
    path: Path, *, name: str, sha256: str = "", unpacked_bytes: int | None = None,
    say: Callable[[str], None] = lambda text: None, **fields: object,
) -> Image:  # fmt: skip
    """Copy a file into the store and enter it as `name`. The same file is stored once. Raises ImageProblem.

    `sha256` is what its publisher says; `fields` are further columns of Image, like root_mib.
    """
    if Image.objects.filter(name=name).exists():
        raise ImageProblem(f"there is an image {name!r} already: images never change, choose another name")
    try:
        contents = look_into(path)
        size = path.stat().st_size
        unpacked = unpacked_bytes or contents.unpacked_bytes
        if unpacked is None:
            raise ImageProblem(f"{path.name} does not say how large it is unpacked: give the size (--unpacked-mib)")
        _require_room(size)
        digest = _store(path, size, expected=sha256.lower(), say=say)
        with transaction.atomic():
            return Image.objects.create(
                name=name, kind=contents.kind, sha256=digest, size_bytes=size, unpacked_bytes=unpacked, **fields
            )
    except IntegrityError as exc:
        raise ImageProblem(f"somebody else entered an image {name!r} at this moment: choose another name") from exc
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise ImageProblem(f"the disk of {settings.DATA} is full: make room, nothing was stored") from exc
        raise ImageProblem(f"cannot read {path}: {exc.strerror}") from exc


def look_into(path: Path) -> Contents:
    """Tell the kind of an image by its first bytes. Raises ImageProblem for what no method can install."""
    with path.open("rb") as file:
        head = file.read(EXT4_SUPERBLOCK + 0x200)
    if len(head) >= EXT4_SUPERBLOCK + 0x158 and _u16(head, EXT4_SUPERBLOCK + EXT4_MAGIC_AT) == EXT4_MAGIC:
        return Contents(Image.Kind.EXT4, _ext4_used_bytes(head[EXT4_SUPERBLOCK:]))
    if len(head) >= 18 and _u32(head, 0) == ZSTD_MAGIC:
        return Contents(Image.Kind.TAR_ZST, _zstd_content_bytes(head))
    raise ImageProblem(
        f"{path.name} is of no known kind: Dodai takes an ext4 file system or a tar archive packed by zstd"
    )


def _store(path: Path, size: int, *, expected: str, say: Callable[[str], None]) -> str:
    """Copy durably under the name of the digest. Nothing is left behind when anything goes wrong."""
    folder: Path = settings.DATA / "images"
    folder.mkdir(mode=0o700, exist_ok=True)
    half = folder / f".{uuid.uuid4().hex}"
    try:
        digest = _copy(path, half, size, say)
        if expected and digest != expected:
            raise ImageProblem(f"the digest of {path.name} is {digest}, not {expected}: fetch the file again")
        os.replace(half, folder / digest)
        _sync_folder(folder)
    finally:
        half.unlink(missing_ok=True)
    return digest


def _copy(path: Path, target: Path, size: int, say: Callable[[str], None]) -> str:
    summed, done, told = hashlib.sha256(), 0, 0
    with path.open("rb") as source, target.open("xb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            summed.update(chunk)
            sink.write(chunk)
            done += len(chunk)
            if size and done * 10 // size > told:
                told = done * 10 // size
                say(f"{path.name}: {told * 10} % taken in")
        sink.flush()
        os.fsync(sink.fileno())
    return summed.hexdigest()


def _require_room(size: int) -> None:
    settings.DATA.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.DATA).free
    if free < size + SPARE_BYTES:
        raise ImageProblem(
            f"the disk of {settings.DATA} has {free >> 20} MiB free, the image needs {size >> 20} MiB and "
            f"{SPARE_BYTES >> 20} MiB must stay free: make room first"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ext4_used_bytes(superblock: bytes) -> int:
    blocks = _u32(superblock, 0x04) | _u32(superblock, 0x150) << 32  # the high halves are 0 without 64bit
    free = _u32(superblock, 0x0C) | _u32(superblock, 0x158) << 32
    block_bytes = 1024 << _u32(superblock, 0x18)
    return max(blocks - free, 0) * block_bytes


def _zstd_content_bytes(head: bytes) -> int | None:
    """Frame_Content_Size of the first frame, None when the compressor did not know it (RFC 8878, 3.1.1.1)."""
    descriptor = head[4]
    size_flag, single_segment, dictionary_flag = descriptor >> 6, bool(descriptor & 0x20), descriptor & 3
    at = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[dictionary_flag]
    match size_flag:
        case 0:
            return head[at] if single_segment else None
        case 1:
            return _u16(head, at) + 256
        case 2:
            return _u32(head, at)
    return int(struct.unpack_from("<Q", head, at)[0])


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
