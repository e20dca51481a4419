"""An HTTP server that is there and of no use, in one way or another. It notes what it was asked."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

HANG_SECONDS = 600


class Useless:
    """Treats every request on a listening socket as `how` does, each in a thread of its own, until closed."""

    def __init__(self, listening: socket.socket, how: "How") -> None:
        self.asked: list[str] = []
        self._listening, self._how = listening, how
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=self._listening.accept()[:1], daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as request:
            self.asked.append(request.readline().decode(errors="replace").strip())
            while request.readline().strip():
                pass
            self._how(client)


How = Callable[[socket.socket], None]


def answers(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> How:
    """`length`: what it says of its body, where that is a lie."""

    def answer(client: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
        client.sendall("\r\n".join(lines).encode() + body)

    return answer


def hangs(client: socket.socket) -> None:
    time.sleep(HANG_SECONDS)


def closes(client: socket.socket) -> None:
    """Without a word."""
