"""A Dodai that is ill in turns: a real one, behind a server that now and then refuses, hangs, or loses its answer."""

import contextlib
import http.client
import http.server
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HANG_SECONDS = 5  # longer than the scripts of these tests wait
MOST_IN_A_ROW = 3
LONG = "86400"  # a Retry-After that nobody should follow to the end


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Real = Callable[[str, str, dict[str, str], bytes], Answer]
"""(method, path, headers, body): what the real one answers."""
ILLS: dict[str, Answer | None] = {
    "503": Answer(503, b"away", (("Retry-After", "5"),)),
    "503 for a day": Answer(503, b"away", (("Retry-After", LONG),)),
    "429": Answer(429, b"slower", (("Retry-After", "1"),)),
    "500": Answer(500, b"oops"),
    "502 by a proxy": Answer(502, b"<html>Bad Gateway</html>"),
    "closed": None,  # without a word
    "lost": None,  # it was done, but the answer is lost
    "half": None,  # it was done, and half of the answer comes
}


@dataclass
class Moody:
    """`told`: (path, ill or "well", the real answer if it was asked), in order."""

    real: Real
    chance: random.Random
    ills: tuple[str, ...] = tuple(ILLS)
    share: float = 0.6
    told: list[tuple[str, str, Answer | None]] = field(default_factory=list)
    hangs_left: int = 1
    _in_a_row: int = 0

    def mood(self) -> str:
        if self._in_a_row >= MOST_IN_A_ROW or self.chance.random() > self.share:
            self._in_a_row = 0
            return "well"
        self._in_a_row += 1
        if self.hangs_left:
            self.hangs_left -= 1
            return "hanging"
        return self.chance.choice(self.ills)

    def treat(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        mood, answer = self.mood(), None
        if mood in ("well", "lost", "half"):
            answer = self.real(handler.command, handler.path, dict(handler.headers), body)
        self.told.append((handler.path, mood, answer))
        if mood == "hanging":
            time.sleep(HANG_SECONDS)
        if said := answer if mood in ("well", "half") else ILLS.get(mood):
            _send(handler, said, share=0.5 if mood == "half" else 1)


def _send(handler: http.server.BaseHTTPRequestHandler, answer: Answer, *, share: float) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body[: int(len(answer.body) * share)])


@contextmanager
def served(moody: Moody, *, refuses_seconds: float = 0) -> Iterator[str]:
    """Its URL. Connections are refused at first."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                moody.treat(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.server_bind()
    thread = threading.Thread(target=_open, args=(server, refuses_seconds), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _open(server: http.server.ThreadingHTTPServer, after_seconds: float) -> None:
    time.sleep(after_seconds)
    server.server_activate()
    server.serve_forever(poll_interval=0.05)


def over_http(port: int) -> Real:
    """The real one that listens on this port."""

    def ask(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request(method, path, body, {**headers, "Connection": "close"})
            found = connection.getresponse()
            kept = [(name, value) for name, value in found.getheaders() if name.lower() == "content-range"]
            return Answer(found.status, found.read(), tuple(kept))

    return ask
