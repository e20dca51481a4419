"""Where each file lies in an ISO image (ECMA-119, with Rock Ridge or Joliet names). The image itself is never unpacked:
the image server serves ranges of it."""

import re
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from installs.cell.problems import Problem

MOST_FILES, DEEPEST, LONGEST_PATH = 200_000, 32, 1000
SECTOR_BYTES = 2048
GOOD_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")

time.strptime("2000", "%Y")  # Python loads what this takes late, when this process may open nothing any more

Extents = list[tuple[int, int]]


class BadImage(Exception):
    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.problem = Problem(code, **values)


def index(image: BinaryIO) -> dict[str, Any]:
    """{"files": {path: [[offset, bytes], ...]}, "links": {path: path}}, or {"problems": [...]}."""
    try:
        files: dict[str, Extents] = {}
        links: dict[str, str] = {}
        for path, extents, target in _entries(image):
            if target is None:
                files[path] = extents
            else:
                links[path] = target
        return {"files": files, "links": links}
    except BadImage as problem:
        return {"problems": [problem.problem.as_json()]}
    except (
        PyCdlibException,
        OSError,
        ValueError,
        IndexError,
        KeyError,
        AttributeError,
        TypeError,
        RecursionError,
    ) as problem:
        return {"problems": [Problem("iso", what=f"{type(problem).__name__}: {problem}"[:200]).as_json()]}
    except Exception as problem:  # noqa: BLE001 - struct.error and whatever else hostile bytes may raise in the library
        return {"problems": [Problem("iso", what=type(problem).__name__).as_json()]}


def _entries(image: BinaryIO) -> Iterator[tuple[str, Extents, str | None]]:
    """(path, extents, None) of files, (path, [], target) of links that stay inside; others are left out."""
    size = image.seek(0, 2)
    image.seek(0)
    iso = pycdlib.PyCdlib()
    iso.open_fp(image)
    kind = "rr_path" if iso.has_rock_ridge() else "joliet_path" if iso.has_joliet() else "iso_path"
    count, waiting, seen = 0, ["/"], set()
    while waiting:
        folder = waiting.pop()
        for record in iso.list_children(**{kind: folder}):
            if record is None or record.is_dot() or record.is_dotdot():
                continue
            name = _name(record, kind)
            path = f"{folder.rstrip('/')}/{name}"
            count += 1
            if count > MOST_FILES or path.count("/") > DEEPEST or len(path) > LONGEST_PATH:
                raise BadImage("iso-large", most=MOST_FILES)
            if record.is_dir():
                if record.extent_location() in seen:
                    raise BadImage("iso-circle", what=path[:120])
                seen.add(record.extent_location())
                waiting.append(path)
            elif _is_link(record):
                if (target := _target(record, folder)) is not None:
                    yield path.lstrip("/"), [], target
            else:
                yield path.lstrip("/"), _extents(record, size, path), None


def _name(record: Any, kind: str) -> str:
    has_rock_ridge = kind == "rr_path" and record.rock_ridge is not None
    raw = record.rock_ridge.name() if has_rock_ridge else record.file_identifier()
    name = raw.decode("utf-16-be" if kind == "joliet_path" else "utf-8", "replace")
    if kind == "iso_path":
        name = name.split(";")[0].rstrip(".")
    if not GOOD_NAME.fullmatch(name) or name in (".", ".."):
        raise BadImage("iso-name", what=repr(name)[:120])
    return name


def _is_link(record: Any) -> bool:
    return record.rock_ridge is not None and record.rock_ridge.is_symlink()


def _target(record: Any, folder: str) -> str | None:
    """Where a link in this folder leads, from the root; None where that is outside."""
    written = record.rock_ridge.symlink_path().decode("utf-8", "replace")
    at: list[str] = [] if written.startswith("/") else [part for part in folder.split("/") if part]
    for part in written.split("/"):
        if part == "..":
            if not at:
                return None
            at.pop()
        elif part not in ("", "."):
            at.append(part)
    target = "/".join(at)
    return target if len(target) <= LONGEST_PATH else None


def _extents(record: Any, size: int, path: str) -> Extents:
    """Of a file of several records too, as those beyond 4 GiB are. They must lie in the image."""
    found: Extents = []
    at: Any = record
    while at is not None:
        offset, length = at.extent_location() * SECTOR_BYTES, at.get_data_length()
        if offset < 0 or length < 0 or offset + length > size:
            raise BadImage("iso-outside", what=path[:120])
        found.append((offset, length))
        at = at.data_continuation
        if len(found) > 64:
            raise BadImage("iso-circle", what=path[:120])
    return found
