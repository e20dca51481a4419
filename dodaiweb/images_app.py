"""Serves images by digest and ramdisks by version: whole or in ranges, nothing else, and no database.

A machine asks for `/image/<sha256>`, `/ramdisk/<version>/vmlinuz|initrd`, or `/tree/<sha256>/<path>`, a file inside an
ISO image, served out of it by an index (installs/images/iso.py); `/hello/<number>` proves whose server this is.
Names are matched before they touch the file system, files are opened without following links, and the digest or version
is the ETag: content never changes under its name.
"""

import os
import re
import stat
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from dodaiweb import hello, tree

SHA256 = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RAMDISK_FILES = {"vmlinuz", "initrd"}
FOR_EVER = "public, max-age=31536000, immutable"


class _Download(FileResponse):
    chunk_size = 1 << 20  # a read is a trip to a thread: at the usual 64 KiB those trips cost more than the reads


def application(data: Path) -> Starlette:
    """The application that serves what lies in `data`."""
    methods = ["GET", "HEAD"]
    application = Starlette(
        routes=[
            Route("/hello/{nonce}", _hello, methods=methods),
            Route("/image/{digest}", _image, methods=methods),
            Route("/ramdisk/{version}/{name}", _ramdisk, methods=methods),
            Route("/tree/{digest}/{path:path}", _tree, methods=methods),
        ]
    )
    application.state.data = data
    return application


async def _hello(request: Request) -> Response:
    nonce = request.path_params["nonce"]
    if not hello.NONCE.fullmatch(nonce):
        return _not_found()
    return PlainTextResponse(hello.proof(request.app.state.data, nonce, listener="images"))


async def _image(request: Request) -> Response:
    digest = request.path_params["digest"]
    if not SHA256.fullmatch(digest):
        return _not_found()
    return _file(request.app.state.data / "images" / digest, etag=digest)


async def _ramdisk(request: Request) -> Response:
    version, name = request.path_params["version"], request.path_params["name"]
    if not VERSION.fullmatch(version) or name not in RAMDISK_FILES:
        return _not_found()
    return _file(request.app.state.data / "ramdisk" / version / name, etag=f"{version}-{name}")


async def _tree(request: Request) -> Response:
    digest = request.path_params["digest"]
    if not SHA256.fullmatch(digest):
        return _not_found()
    data = request.app.state.data
    extents = await run_in_threadpool(tree.extents_of, data / "image-index", digest, request.path_params["path"])
    if extents is None:
        return _not_found()
    image, asked = data / "images" / digest, request.headers.get("range")
    return tree.answer(image, extents, asked, digest, head=request.method == "HEAD") or _not_found()


def _file(path: Path, *, etag: str) -> Response:
    try:
        found = os.lstat(path)
    except OSError:
        return _not_found()
    if not stat.S_ISREG(found.st_mode):  # a link could lead anywhere
        return _not_found()
    headers = {"etag": f'"{etag}"', "cache-control": FOR_EVER}
    return _Download(path, headers=headers, media_type="application/octet-stream", stat_result=found)


def _not_found() -> Response:
    return PlainTextResponse("not here\n", status_code=404)
