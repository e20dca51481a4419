"""Files inside an ISO image, sent out of it: no image is unpacked, and no path of a request reaches the file system."""

import gzip
import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse, Response, StreamingResponse

Extents = list[list[int]]  # [offset in the image, bytes]
CHUNK_BYTES = 1 << 20
MOST_LINKS = 16
ONE_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


def extents_of(folder: Path, digest: str, path: str) -> Extents | None:
    """Where a path of this image lies in it; None where there is no such file."""
    index = _index(folder, digest)
    if index is None:
        return None
    at = _through_links("/".join(part for part in path.split("/") if part), index["links"])
    found: Extents | None = index["files"].get(at)
    return found


def answer(image: Path, extents: Extents, asked: str | None, digest: str, *, head: bool) -> Response | None:
    """The whole file, or the one range that was asked for (RFC 9110, 14); None where the image is gone."""
    total = sum(length for _offset, length in extents)
    first, last, status = 0, total - 1, 200
    if asked and (match := ONE_RANGE.fullmatch(asked)):
        first, last, status = int(match[1]), min(int(match[2] or total - 1), total - 1), 206
        if first > last:
            return PlainTextResponse("", 416, {"content-range": f"bytes */{total}"})
    try:
        file = open(image, "rb", buffering=0, opener=_no_link)  # noqa: SIM115 - closed by who sends it
    except OSError:
        return None
    headers = {
        "content-length": str(last - first + 1), "accept-ranges": "bytes", "etag": f'"{digest}-{extents[0][0]}"',
        "cache-control": "public, max-age=31536000, immutable",
    }  # fmt: skip
    if status == 206:
        headers["content-range"] = f"bytes {first}-{last}/{total}"
    if head:
        return Response(None, status, headers, media_type="application/octet-stream")
    return StreamingResponse(
        _pieces(file, extents, first, last + 1), status, headers, media_type="application/octet-stream"
    )


def _no_link(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW)  # a link could lead anywhere


def _pieces(file: FileIO, extents: Extents, begin: int, end: int) -> Iterator[bytes]:
    """The bytes from `begin` to before `end` of what the extents make together."""
    with file:
        at = 0
        for offset, length in extents:
            start, stop = max(begin, at), min(end, at + length)
            while start < stop:
                piece = os.pread(file.fileno(), min(CHUNK_BYTES, stop - start), offset + start - at)
                if not piece:
                    return  # cut off meanwhile: the length that was told says so to who asked
                yield piece
                start += len(piece)
            at += length


def _through_links(path: str, links: dict[str, str]) -> str:
    """The path with the links in it followed, a few times at most: they may lead in circles."""
    for _turn in range(MOST_LINKS):
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            head = "/".join(parts[:count])
            if head in links:
                path = "/".join(part for part in (links[head], *parts[count:]) if part)
                break
        else:
            return path
    return ""


@lru_cache(maxsize=8)
def _cached(path: Path, modified: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def _index(folder: Path, digest: str) -> dict[str, Any] | None:
    path = folder / f"{digest}.json.gz"
    try:
        return _cached(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None
