"""The whole of the provisioning listener behind its socket, asked in this process: some thousand times a second."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections


class Listener:
    """The WSGI application. The settings must name its URLs (`dodaiweb.provision_urls`) before it is made."""

    def __init__(self) -> None:
        self._handler = WSGIHandler()

    def ask(self, method: str, path: bytes, query: bytes = b"", body: bytes = b"", **environ: str) -> tuple[int, bytes]:
        """Its status and body. `environ` are variables of WSGI, as HTTP_AUTHORIZATION."""
        asked = {
            "REQUEST_METHOD": method, "PATH_INFO": path.decode("latin-1"), "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": "dodai", "SERVER_PORT": "8001", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "10.0.0.9",
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
            "CONTENT_LENGTH": str(len(body)), **environ,
        }  # fmt: skip
        answered: list[str] = []
        with _connections_kept():
            response = self._handler(asked, lambda status, headers: answered.append(status))
            content = b"".join(response)
            response.close()
        return int(answered[0][:3]), content


@contextmanager
def _connections_kept() -> Iterator[None]:
    """The end of a request would close the connection that a test's transaction is on."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)
