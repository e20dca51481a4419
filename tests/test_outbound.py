"""Calls to addresses that people typed in reach only what was judged, and always end."""

import errno
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dodaiweb import outbound


class _Handler(BaseHTTPRequestHandler):
    seen: list[dict[str, str]] = []

    def do_GET(self):
        type(self).seen.append(dict(self.headers.items()))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Set-Cookie", "a=b")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@contextmanager
def speaking(*lines: bytes, every: float) -> Iterator[str]:
    """A server that says one line after the other, slowly, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                try:
                    for line in lines:
                        connection.sendall(line)
                        time.sleep(every)
                except OSError:
                    pass

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(timeout=10)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/",
        "http://[fd00::1]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://0x7f000001/", "http://2130706433/", "http://127.1/", "http://localhost/", "http://100.64.0.1/",
    ],
)  # fmt: skip
def test_private_addresses_need_to_be_allowed(url):
    with pytest.raises(outbound.Forbidden):
        outbound.destination(url, private=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/",
        "http://255.255.255.255/", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/",
    ],
)  # fmt: skip
def test_some_addresses_are_never_called(url):
    with pytest.raises(outbound.Forbidden):
        outbound.destination(url, private=True)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://example.org/", "//example.org/", "example.org", "",
        "http://", "http://user:secret@127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1/ü",
    ],
)  # fmt: skip
def test_what_is_no_plain_http_url_is_refused(url):
    with pytest.raises(outbound.Forbidden) as refused:
        outbound.destination(url, private=True)
    assert "secret" not in str(refused.value)


def test_public_addresses_are_allowed():
    assert outbound.destination("https://1.1.1.1/x?y=z", private=False) == outbound.Destination(
        "https", "1.1.1.1", 443, "/x?y=z", ("1.1.1.1",)
    )


def test_a_name_that_resolves_anew_is_connected_to_as_it_was_judged(monkeypatch, server):
    """DNS rebinding: a second look-up of the name would lead elsewhere; there is none."""
    port = int(server.rpartition(":")[2])
    answers = iter([[(2, 1, 6, "", ("127.0.0.1", port))]])
    real = socket.getaddrinfo

    def once(host, *arguments, **named):
        return next(answers) if host == "rebinding.example" else real(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    with outbound.opened("GET", f"http://rebinding.example:{port}/", private=True) as answer:
        assert answer.read() == b"hello"
    assert _Handler.seen[0]["Host"] == f"rebinding.example:{port}"


def test_of_several_addresses_only_the_allowed_are_used(monkeypatch):
    both = [(2, 1, 6, "", ("127.0.0.1", 80)), (2, 1, 6, "", ("1.1.1.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: both)
    assert outbound.destination("http://both.example/", private=False).addresses == ("1.1.1.1",)


def test_a_redirect_is_not_followed(server):
    with outbound.opened("GET", f"{server}/moved", private=True) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:1/secret")
    assert len(_Handler.seen) == 1


def test_nothing_of_ours_goes_along(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for _ in range(2):
        with outbound.opened("GET", server, private=True) as answer:
            answer.read()
    assert all(name not in headers for headers in _Handler.seen for name in ("Cookie", "Authorization"))


def test_a_server_that_drips_is_cut_off():
    with speaking(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 500, every=0.2) as url:
        began = time.monotonic()
        with pytest.raises(outbound.OutboundError, match="took longer than 1 s"):
            with outbound.opened("GET", url, private=True, total_seconds=1) as answer:
                answer.read()
        assert time.monotonic() - began < 60


def test_an_answer_that_is_cut_in_its_body_is_no_answer():
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 30, every=0.2) as url:
        with pytest.raises(outbound.OutboundError, match="took longer than 1 s"):
            with outbound.opened("GET", url, private=True, total_seconds=1) as answer:
                answer.read(50)


def test_a_body_that_never_ends_is_cut_off_too():
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 30, every=0.2) as url:
        with pytest.raises(outbound.OutboundError):
            with outbound.opened("GET", url, private=True, silence_seconds=0.05) as answer:
                answer.read()


def test_a_full_disk_of_the_caller_is_not_taken_for_the_network(server):
    with pytest.raises(OSError, match="No space left"), outbound.opened("GET", server, private=True):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_not_http_is_said():
    with speaking(b"220 mail.example ESMTP\r\n", every=0) as url:
        with pytest.raises(outbound.OutboundError, match="not HTTP"):
            with outbound.opened("GET", url + "?token=hidden", private=True) as answer:
                answer.read()


def test_messages_name_the_host_and_no_more():
    with pytest.raises(outbound.OutboundError) as failed:
        with outbound.opened("GET", "http://127.0.0.1:1/services/T0/B0/token?key=hidden", private=True):
            pass
    assert "127.0.0.1, port 1" in str(failed.value)
    assert "token" not in str(failed.value)
    assert "hidden" not in repr(failed.value.__cause__)


@pytest.fixture
def tls_server(tmp_path) -> Iterator[tuple[str, str]]:
    """The address of a server with a certificate for `localhost` that no authority knows, and that certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names]
    command = [*made, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"https://localhost:{http.server_port}/", str(certificate)
        http.shutdown()


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_server):
    with pytest.raises(outbound.OutboundError, match="the certificate of localhost is not good"):
        with outbound.opened("GET", tls_server[0], private=True):
            pass


def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(tls_server, monkeypatch):
    url, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    with outbound.opened("GET", url, private=True) as answer:
        assert answer.read() == b"hello"
    with pytest.raises(outbound.OutboundError, match="not good"):
        with outbound.opened("GET", url.replace("localhost", "127.0.0.1"), private=True):
            pass
