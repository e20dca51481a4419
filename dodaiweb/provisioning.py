"""The server program of the provisioning listener: waitress, with bounds to what one machine may take of it.

A request has its whole body before it gets a thread, so a slow machine costs a socket, no thread.
"""

import logging
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

import waitress
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.task import WSGITask

LARGEST_BODY_BYTES = 1 << 20  # facts of a machine with hundreds of disks are some 100 KB
LARGEST_HEADER_BYTES = 16 << 10
REQUEST_SECONDS = 30  # from its first byte to its last; also how long an idle connection is kept
LOOK_EVERY_SECONDS = 5  # for those that are over
LOOP_SECONDS = 1
MOST_CONNECTIONS = 2000
MOST_OF_ONE_ADDRESS = 400  # beyond that each new one closes the oldest that waits
PAUSE_AFTER_REFUSAL_SECONDS = 1.0
# SQLite writes one at a time. Threads that wait for their turn sleep ever longer while the one that writes waits for
# the interpreter: with eight, 64 machines got 198 answers a second, with one 517 (tests/bench/events_load.py).
THREADS = {"sqlite": 1, "postgresql": 8}
TOO_MANY = "429"
# Whatever happens, waitress asks each connection in Python whether it is ready, and takes the interpreter from the
# thread that answers. While so many requests wait for a thread anyway, it may find the next ones together.
MANY_WAIT, PAUSE_WHEN_MANY_WAIT_SECONDS = 10, 0.003


def serve(application: Callable[..., Any], *, host: str, port: int, threads: int) -> None:
    """Serve until somebody ends this process."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it has a line for every request that waits
    logging.getLogger("waitress").setLevel(logging.WARNING)  # and one for every machine that goes away
    _allow_open_files(MOST_CONNECTIONS + 200)
    server = waitress.create_server(
        application,
        host=host,
        port=port,
        threads=threads,
        max_request_body_size=LARGEST_BODY_BYTES,
        max_request_header_size=LARGEST_HEADER_BYTES,
        channel_timeout=REQUEST_SECONDS,
        cleanup_interval=LOOK_EVERY_SECONDS,
        connection_limit=MOST_CONNECTIONS,
        ident=None,
        clear_untrusted_proxy_headers=True,
    )
    # A name like localhost has several addresses, each with a server of its own below the one that was made.
    connections = getattr(server, "map", None) or server._map
    for each in [server, *connections.values()]:
        each.channel_class = _Channel
    try:
        while True:
            wasyncore.loop(LOOP_SECONDS, map=connections, use_poll=True, count=1)
            if len(server.task_dispatcher.queue) > MANY_WAIT:
                time.sleep(PAUSE_WHEN_MANY_WAIT_SECONDS)
    finally:
        server.task_dispatcher.shutdown()


class _Task(WSGITask):  # type: ignore[misc]
    """An answer. Whoever is told that it asks too often is not listened to for a while."""

    def build_response_header(self) -> bytes:
        if str(self.status).startswith(TOO_MANY):
            self.channel.deaf_until = time.monotonic() + PAUSE_AFTER_REFUSAL_SECONDS
        header: bytes = super().build_response_header()
        return header


class _Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. The time of a request counts from its first byte, however steadily the others trickle in."""

    task_class = _Task
    deaf_until = 0.0
    last_activity: float

    def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Any, map: Any = None) -> None:
        super().__init__(server, sock, addr, adj, map=map)
        others = server.active_channels.values()
        if len(others) > MOST_OF_ONE_ADDRESS:
            waiting = [each for each in others if each.addr[0] == addr[0] and not each.requests and each is not self]
            if len(waiting) >= MOST_OF_ONE_ADDRESS:
                min(waiting, key=lambda each: each.last_activity).will_close = True

    def readable(self) -> bool:
        return super().readable() and (not self.deaf_until or time.monotonic() >= self.deaf_until)

    def handle_read(self) -> None:
        began = self.last_activity if self.request is not None else None
        super().handle_read()
        if began is not None and self.request is not None:
            self.last_activity = began


def _allow_open_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
