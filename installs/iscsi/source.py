"""The raw image that qemu-img reads: the stored file, or what it unpacks to, kept for a while. Checked by digest."""

import hashlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings

from installs.images.contract import BadImage
from installs.images.contract.disk import pieces
from installs.images.intake import CHUNK_BYTES, image_path, require_room
from installs.images.kinds import ImageProblem
from installs.iscsi.writer import CannotWrite

KEPT_SECONDS = 3600
BLOCK_BYTES = 1 << 16
ZEROS = bytes(BLOCK_BYTES)


def raw_of(image: dict[str, Any], checked: Callable[[], None]) -> Path:
    """The raw image of a plan's `image`; `checked` is called now and then, and what it raises stops the work.

    Raises CannotWrite: the file is gone, is not what was approved, or there is no room.
    """
    stored, unpacked = image_path(image["sha256"]), _folder() / f"{image['sha256']}.raw"
    try:
        if image["kind"] == "raw":
            _require(image, _hashed(stored, checked), stored.stat().st_size)
            return stored
        if unpacked.exists():
            os.utime(unpacked)
        else:
            _unpack(image, stored, unpacked, checked)
        return unpacked
    except FileNotFoundError as exc:
        raise CannotWrite(f"the file of the image {image['name']} is gone: import it again.", cause="image") from exc
    except (BadImage, ImageProblem) as exc:
        raise CannotWrite(f"the image {image['name']} cannot be used: {exc}.", cause="image") from exc
    except OSError as exc:
        words = f"the image {image['name']} cannot be read or unpacked here: {exc.strerror}."
        raise CannotWrite(words, cause="image") from exc


def tidy() -> None:
    """Remove what nobody asked for in the last hour. Who reads one has it open."""
    for path in _folder().glob("*"):
        if time.time() - path.stat().st_mtime > KEPT_SECONDS:
            path.unlink(missing_ok=True)


def _folder() -> Path:
    folder: Path = settings.DATA / "iscsi"
    return folder


def _unpack(image: dict[str, Any], stored: Path, unpacked: Path, checked: Callable[[], None]) -> None:
    unpacked.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_room(image["unpacked_bytes"])
    half = unpacked.with_suffix(f".{uuid.uuid4().hex}")
    try:
        with stored.open("rb") as file, half.open("wb") as sink:
            source = _Hashed(file)
            for piece in pieces(cast(IO[bytes], source), image["kind"]):
                checked()
                _put(piece, sink)
            sink.truncate()
            while source.read(CHUNK_BYTES):  # what stands behind the last frame
                checked()
            _require(image, source.sha256.hexdigest(), sink.tell())
        half.rename(unpacked)
    finally:
        half.unlink(missing_ok=True)


def _put(piece: bytes, sink: IO[bytes]) -> None:
    """Zeros become holes, which qemu-img need not read."""
    for at in range(0, len(piece), BLOCK_BYTES):
        block = piece[at : at + BLOCK_BYTES]
        if block == ZEROS[: len(block)]:
            sink.seek(len(block), os.SEEK_CUR)
        else:
            sink.write(block)


class _Hashed:
    """A file whose bytes are summed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.sha256, self._file = hashlib.sha256(), file

    def read(self, size: int = -1) -> bytes:
        some = self._file.read(size)
        self.sha256.update(some)
        return some


def _hashed(path: Path, checked: Callable[[], None]) -> str:
    with path.open("rb") as file:
        source = _Hashed(file)
        while source.read(CHUNK_BYTES):
            checked()
    return source.sha256.hexdigest()


def _require(image: dict[str, Any], sha256: str, unpacked_bytes: int) -> None:
    if sha256 != image["sha256"]:
        raise CannotWrite(
            f"the stored file of the image {image['name']} has the SHA-256 {sha256}, the catalogue says "
            f"{image['sha256']}. Nothing of it was written.", cause="digest",
        )  # fmt: skip
    if unpacked_bytes != image["unpacked_bytes"]:
        raise CannotWrite(
            f"the image {image['name']} is {unpacked_bytes} bytes, not {image['unpacked_bytes']}.", cause="digest"
        )
