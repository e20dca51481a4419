"""Carries one iSCSI connection out of qemu-img's own network, to one address and nowhere else.

An iSCSI target may tell who logs in to connect somewhere else (RFC 7143, 11.13.5), and libiscsi would do so. Here
every connection leads to the address that was checked.
"""

import socket
import threading
import time
from contextlib import suppress

CONNECT_SECONDS = 10
PIECE_BYTES = 1 << 18
LOST_AFTER_SECONDS = 30  # of bytes that nobody acknowledges
KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4))


class Relay:
    """`problem` says why there is no connection any more; "" while there is one, or none was asked for yet."""

    def __init__(self, listening: socket.socket, address: str, port: int) -> None:
        self.problem = ""
        self.is_reached = False
        self.moved_bytes = 0
        self.moved_at = time.monotonic()
        self._listening, self._to = listening, (address, port)
        self._sockets: list[socket.socket] = [listening]
        self._closed = False
        threading.Thread(target=self._serve, name="iscsi-relay", daemon=True).start()

    def close(self) -> None:
        """Cut it, now."""
        self._closed = True
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        """One connection: who was cut off logs in again under another copy, or not at all."""
        try:
            near, _ = self._listening.accept()
        except OSError:
            return
        self._sockets.append(near)
        try:
            far = socket.create_connection(self._to, timeout=CONNECT_SECONDS)
        except OSError as exc:
            self._end(exc.strerror or "no answer")
            return
        self._sockets.append(far)
        self.is_reached = True
        far.settimeout(None)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_AFTER_SECONDS * 1000)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for number, value in KEEPALIVE:
            far.setsockopt(socket.IPPROTO_TCP, number, value)
        threading.Thread(target=self._pump, args=(far, near, "the machine ended it"), daemon=True).start()
        self._pump(near, far, "qemu-img let go of it")

    def _pump(self, source: socket.socket, sink: socket.socket, at_end: str) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        try:
            while count := source.recv_into(buffer):
                sink.sendall(buffer[:count])
                self.moved_bytes += count
                self.moved_at = time.monotonic()
        except OSError as exc:
            self._end(exc.strerror or type(exc).__name__)
        else:
            self._end(at_end)

    def _end(self, problem: str) -> None:
        """The first to end it says why."""
        if not self._closed:
            self.problem = self.problem or problem
            self.close()
