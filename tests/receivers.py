"""Real servers that notices can be sent to: HTTP and SMTP, on the loopback."""

import email
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Hook:
    """`answers`: the statuses of the next requests; 200 once they are used up. `delays`: seconds before they come."""

    url: str = ""
    delays: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    answers: list[int] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


@contextmanager
def http_receiver() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            hook.requests.append(Request(self.path, headers, body))
            if hook.delays:
                hook.over.wait(hook.delays.pop(0))
            self.send_response(hook.answers.pop(0) if hook.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"nobody reads this " * 1000)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_port}/hook/T0K3N"
        yield hook
        hook.over.set()
        server.shutdown()


@dataclass
class Mailbox:
    """A mail server of RFC 5321's few needed verbs. `refusal` is what it answers to every receiver, if set."""

    port: int = 0
    refusal: str = ""
    mails: list[tuple[str, Message]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@contextmanager
def smtp_receiver() -> Iterator[Mailbox]:
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.answer("220 test")
            for line in iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ""):
                box.said.append(line)
                verb = line.split(" ")[0].upper()
                if verb == "DATA":
                    self.take_mail()
                elif verb == "QUIT":
                    return self.answer("221 bye")
                else:
                    self.answer({"EHLO": "250-test\r\n250 AUTH PLAIN", "AUTH": "235 ok"}.get(verb, self.to(verb, line)))

        def to(self, verb: str, line: str) -> str:
            if verb == "RCPT":
                self.receiver = line.partition("<")[2].partition(">")[0]
                return box.refusal or "250 ok"
            return "250 ok"

        def take_mail(self) -> None:
            self.answer("354 go on")
            lines = iter(lambda: self.rfile.readline(), b".\r\n")
            text = b"".join(line.removeprefix(b".") for line in lines)
            box.mails.append((self.receiver, email.message_from_bytes(text)))
            self.answer("250 taken")

        def answer(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        box.port = server.server_address[1]
        yield box
        server.shutdown()
