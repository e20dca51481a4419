"""The pages as an ASGI application. `/events/` is answered before Django: a stream costs a task, not a thread."""

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import close_old_connections, connections
from django.http import parse_cookie

from dodaiweb.live import Hub, Reader

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/events/"
CHECK_SECONDS = 5  # so long a stream outlives the right to read it
RETRY_MILLISECONDS = 2000
LARGEST_BODY_BYTES = 32 << 20  # an inventory file has 20 MiB at most, a part of an image less
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
    (b"x-content-type-options", b"nosniff"),
]


class Pages:
    """Routes: the event stream here, everything else to Django."""

    def __init__(self, django: Application, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._django = django
        self._check_seconds = check_seconds
        self._hub: Hub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _close_database_after_each_request()
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._events(scope, receive, send)
        else:
            await self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Django takes in a whole body before it asks who sent it: nobody may fill the disk with that."""
        try:
            await self._django(scope, _limited(receive), send)
        except _BodyTooLarge:
            await _refuse(send, 413, b"the body is larger than any page takes\n")

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] != "GET":
            return await _refuse(send, 405, b"GET only\n")
        if not _is_ours(headers):
            return await _refuse(send, 403, b"only for pages of this site\n")
        session = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME, "")
        if not await _may_read(session):
            return await _refuse(send, 401, b"log in first\n")
        async with self._of_this_loop().reader() as reader:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await _first_of(_gone(receive), reader.lost.wait(), self._stream(reader, send, session))
        with contextlib.suppress(OSError):  # the browser may be gone already
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stream(self, reader: Reader, send: Send, session: str) -> None:
        """Send messages as they come, and a comment now and then; returns once the session is over."""
        loop = asyncio.get_running_loop()
        await _send(send, f"retry: {RETRY_MILLISECONDS}\n: hello\n\n".encode())
        check_at = loop.time() + self._check_seconds
        while True:
            if loop.time() >= check_at:  # also while one message follows the other
                if not await _may_read(session):
                    return
                await _send(send, b": still here\n\n")
                check_at = loop.time() + self._check_seconds
            try:
                async with asyncio.timeout_at(check_at):
                    message = await reader.messages.get()
            except TimeoutError:
                continue
            await _send(send, b"data: " + message + b"\n\n")

    def _of_this_loop(self) -> Hub:
        loop = asyncio.get_running_loop()
        if self._hub is None or self._loop is not loop:
            self._hub, self._loop = Hub(settings.REDIS_URL), loop
        return self._hub


class _BodyTooLarge(Exception):
    """More has come than LARGEST_BODY_BYTES."""


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST_BODY_BYTES:
            raise _BodyTooLarge
        return message

    return counted


@cache
def _close_database_after_each_request() -> None:
    """Under ASGI each request has a thread of its own: a connection that is kept would never be used again.

    Done at the first request, as the module itself is imported before other processes are forked off.
    """
    for database in connections.settings.values():
        database["CONN_MAX_AGE"] = 0


def _is_ours(headers: dict[str, str]) -> bool:
    """Whether a page of this very site asks. Browsers send Sec-Fetch-Site; older ones at least Origin."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


async def _may_read(session_key: str) -> bool:
    return bool(session_key) and await sync_to_async(_session_is_good)(session_key)


def _session_is_good(session_key: str) -> bool:
    """Whether this session is of somebody who may see machines, as every page checks it."""
    # Django's models can only be imported once it is set up, which get_asgi_application below does.
    from django.contrib.auth import get_user
    from django.contrib.sessions.backends.db import SessionStore
    from django.http import HttpRequest

    close_old_connections()
    try:
        request = HttpRequest()
        request.session = SessionStore(session_key)
        return get_user(request).has_perm("machines.view_machine")
    finally:
        close_old_connections()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(*waits: Awaitable[object]) -> None:
    """Until one of them ends; the others are cancelled, and what went wrong in one that ended is raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _refuse(send: Send, status: int, words: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),  # what of the body is still to come is not waited for
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words})


# WhiteNoise hands small files over at once; Django's advice about long streams does not concern them.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = Pages(get_asgi_application())
