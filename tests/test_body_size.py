"""Nobody fills the disk with a request, least of all who has not logged in."""

import http.client
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dodaiweb import asgi
from tests.serving import served

PIECE = b"x" * (1 << 16)
PATIENCE = 20


@pytest.fixture
def port(transactional_db, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(asgi, "LARGEST_BODY_BYTES", 1 << 20)
    with served(asgi.application) as port:
        yield port


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield PIECE


def answer(port: int, **request) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/login/", **request)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("says_length", [True, False])
def test_a_body_up_to_the_limit_reaches_the_page(port: int, says_length: bool) -> None:
    if says_length:
        status = answer(port, body=PIECE * 16)
    else:
        status = answer(port, body=pieces(16), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert status == 403, "it has no CSRF token"


@pytest.mark.parametrize("head", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_a_larger_one_is_refused_and_its_connection_closed(port: int, head: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"POST /login/ HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
        sent, until = 0, time.monotonic() + PATIENCE
        try:
            while time.monotonic() < until:
                piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if "chunked" in head else PIECE
                connection.sendall(piece)
                sent += len(PIECE)
                assert sent < 64 << 20, "it takes whatever comes"
        except (ConnectionError, TimeoutError):
            pass
    assert sent >= 1 << 20


def test_what_was_refused_leaves_no_file(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert answer(port, body=PIECE * 17) == 413
    assert os.listdir(tmp_path) == []
