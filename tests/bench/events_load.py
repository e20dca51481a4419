"""How many events a second the provisioning listener takes, beside the floor of this computer in the same run.

python3 tests/bench/events_load.py [--seconds N] [--clients N] [--downloads N] [--no-floor]

64 machines (a process on the same two cores) each send the next event as soon as the last one is answered: nine of
ten are progress of a mebibyte, one is a line of the log. A progress of less than a hundredth within half a second of
the last is answered and not stored, as ever. The floor is the same server, Django included, that answers one UPDATE by
token in the same kind of database and nothing else; the bare floor is that without Django. Then the same with image
downloads running beside it.
Aims: 0.3 of the floor, 300 a second, no error, p95 300 ms, with downloads at most a quarter slower, healthy afterwards.
"""

import argparse
import os
import resource
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.real_callers import Caller, is_whole, real_dodai, request, states  # noqa: E402
from tests.real_up import Up, free_ports  # noqa: E402

LEAST_SHARE, LEAST_RATE, WORST_P95_MS, LEAST_BESIDE_DOWNLOADS = 0.3, 300, 300, 0.75
IMAGE_BYTES = 256 << 20
LINE = b"[   12.34] dodai: copying /usr/share/doc and what else a tree of files has, some 120 bytes a line of a log\n"
FLOOR = "floor"
BARE = "bare floor"


@dataclass
class Load:
    """What came of one load: seconds of each answer by status."""

    name: str
    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    own_cpu: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    @property
    def p95_ms(self) -> float:
        return 1000 * statistics.quantiles(self.took, n=20)[-1]

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.rate:.0f}/s, p50 {1000 * statistics.median(self.took):.0f} ms, "
            f"p95 {self.p95_ms:.0f} ms, worst {1000 * max(self.took):.0f} ms, {len(self.errors)} errors "
            f"{self.errors[:2] or ''}(clients used {100 * self.own_cpu / self.seconds:.0f} % of a core; "
            f"load {os.getloadavg()[0]:.1f})"
        )


Application = Callable[..., Any]
Words = Callable[[int, int], bytes]  # (client, how many it has sent) -> one request


def run(name: str, port: int, clients: int, words: Words, seconds: float) -> Load:
    """Each client sends its next request when the last one is answered, for so long."""
    load = Load(name)
    with ExitStack() as stack:
        chooser = stack.enter_context(selectors.EpollSelector())
        began, sent, answers = [0.0] * clients, [0] * clients, [b""] * clients
        sockets = [stack.enter_context(closing(socket.create_connection(("127.0.0.1", port)))) for _ in range(clients)]
        used, start = time.process_time(), time.monotonic()
        for number, each in enumerate(sockets):
            chooser.register(each, selectors.EVENT_READ, number)
            began[number] = time.monotonic()
            each.sendall(words(number, 0))
        while (moment := time.monotonic()) < start + seconds:
            for key, _ in chooser.select(0.5):
                number = key.data
                answers[number] += sockets[number].recv(65536)
                if not is_whole(answers[number]):
                    assert answers[number], "the server closed a connection"
                    continue
                moment = time.monotonic()
                load.took.append(moment - began[number])
                if not answers[number].startswith(b"HTTP/1.1 200"):
                    load.errors.append(answers[number][:40].decode(errors="replace"))
                sent[number] += 1
                answers[number], began[number] = b"", moment
                sockets[number].sendall(words(number, sent[number]))
        load.seconds, load.own_cpu = moment - start, time.process_time() - used
    return load


def words_of(callers: list[Caller]) -> Words:
    steps = [0] * len(callers)

    def words(number: int, sent: int) -> bytes:
        caller, kind = callers[number], sent % 10
        if kind == 9:
            return caller.event("log", LINE)
        steps[number] += 1
        return caller.progress(steps[number] << 20)

    return words


# The floor


UPDATE = "UPDATE floor SET told = told + 1 WHERE token = "


def serve_floor(kind: str, path: str, port: int) -> None:
    """The provisioning listener's server with one UPDATE by token behind it."""
    from dodaiweb.provisioning import THREADS, serve

    application = django_floor(path) if kind == FLOOR else bare_floor(path)
    serve(application, host="127.0.0.1", port=port, threads=THREADS["sqlite"])


def django_floor(path: str) -> Application:
    from django.conf import settings

    os.environ["DODAI_DATABASE_URL"], os.environ["DODAI_DATA"] = f"sqlite:///{path}", f"{path}.data"
    os.environ["DJANGO_SETTINGS_MODULE"] = "dodaiweb.settings"
    settings.MIDDLEWARE, settings.ALLOWED_HOSTS = [], ["*"]
    import django
    from django.core.handlers.wsgi import WSGIHandler
    from django.db import connection
    from django.http import HttpRequest, JsonResponse
    from django.urls import path as route

    def view(request: HttpRequest) -> JsonResponse:
        with connection.cursor() as cursor:
            cursor.execute(UPDATE + "%s", (request.headers["Authorization"].removeprefix("Bearer "),))
            response = JsonResponse({"result": "applied"}, status=200 if cursor.rowcount else 404)
        response["Content-Length"] = len(response.content)
        return response

    settings.ROOT_URLCONF = (route("event/x", view),)
    django.setup()
    return WSGIHandler()


def bare_floor(path: str) -> Application:
    local = threading.local()

    def application(environ, start_response):  # type: ignore[no-untyped-def]
        if not hasattr(local, "database"):
            local.database = sqlite3.connect(path, timeout=20, isolation_level=None)
            local.database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        token = environ["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        found = local.database.execute(UPDATE + "?", (token,)).rowcount
        body = b'{"result": "applied"}'
        start_response("200 OK" if found else "404 Not Found", [("Content-Length", str(len(body)))])
        return [body]

    return application


def measure_floor(kind: str, folder: Path, clients: int, seconds: float) -> Load:
    tokens = [f"{number:043}" for number in range(clients)]
    path = folder / f"{kind.replace(' ', '-')}.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE floor (token TEXT PRIMARY KEY, told INTEGER DEFAULT 0)")
        database.executemany("INSERT INTO floor (token) VALUES (?)", [(token,) for token in tokens])
    port = free_ports()[1]
    server = subprocess.Popen([sys.executable, __file__, kind, str(path), str(port)])
    try:
        _wait_for(port)
        return run(kind, port, clients, lambda number, _: request("/event/x", tokens[number], b"{}"), seconds)
    finally:
        server.kill()
        server.wait()


# Beside it


@contextmanager
def downloads(up: Up, count: int) -> Iterator[None]:
    """So many downloads of one image without end, at the lowest priority: machines have processors of their own.

    They are one session: Linux shares processors between sessions first, and only within one by `nice`.
    """
    if not count:
        yield
        return
    image = up.data / "images" / ("cd" * 32)
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    url = f"http://127.0.0.1:{up.ports[1] + 1}/image/{image.name}"
    loop = f"while :; do curl --silent --output /dev/null {url}; done"
    whole = f"echo 19 > /proc/self/autogroup; for each in $(seq {count}); do nice -n 19 sh -c '{loop}' & done; wait"
    started = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "sh", "-c", whole], start_new_session=True)
    time.sleep(1)
    try:
        yield
    finally:
        os.killpg(started.pid, 9)
        started.wait()


@dataclass(frozen=True)
class Held:
    """What the provisioning process holds: threads, open files."""

    threads: int
    files: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        return cls(len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd")))


def healthy(up: Up, caller: Caller, before: Held) -> list[str]:
    """What is wrong after the load: nothing, if the next install works and all connections and threads are gone."""
    caller.boot()
    caller.install_wholly()
    wrong = []
    end = time.monotonic() + 20
    while (state := states(up)[caller.mac]) != "installed" and time.monotonic() < end:
        time.sleep(0.5)
    if state != "installed":
        wrong.append(f"the next install is {state}")
    after = Held.by(up.pid_of("provision"))
    while after.files > before.files + 2 and time.monotonic() < end:
        time.sleep(0.5)
        after = Held.by(up.pid_of("provision"))
    if after.threads > before.threads or after.files > before.files + 2:
        wrong.append(f"before {before}, now {after}")
    wrong += [line for line in up.output.splitlines() if "Traceback" in line or "locked" in line]
    return wrong


def main() -> None:
    if sys.argv[1:2] in ([FLOOR], [BARE]):
        serve_floor(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--downloads", type=int, default=16)
    parser.add_argument("--no-floor", action="store_true")
    chosen = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(f"{len(os.sched_getaffinity(0))} cores, load before {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dodai-bench-") as folder:
        floors = [] if chosen.no_floor else [
            measure_floor(kind, Path(folder), chosen.clients, chosen.seconds) for kind in (BARE, FLOOR)
        ]  # fmt: skip
        print("\n".join(map(str, floors)), flush=True)
        sys.exit(_judge(floors, *_measure(Path(folder, "data"), chosen)))


def _measure(data: Path, chosen: argparse.Namespace) -> tuple[Load, Load, list[str]]:
    with real_dodai(data, machines=chosen.clients + 1) as (up, callers):
        spare = callers.pop()
        for caller in callers:
            caller.boot()
            caller.say_until_heard("install")
        words = words_of(callers)
        run("first", up.ports[1], len(callers), words, 1)
        before = Held.by(up.pid_of("provision"))
        alone = run("events", up.ports[1], len(callers), words, chosen.seconds)
        print(alone, flush=True)
        with downloads(up, chosen.downloads):
            beside = run(
                f"events beside {chosen.downloads} downloads", up.ports[1], len(callers), words, chosen.seconds
            )
        print(beside, flush=True)
        wrong = healthy(up, spare, before)
        up.stop()
    return alone, beside, wrong


def _judge(floors: list[Load], alone: Load, beside: Load, wrong: list[str]) -> int:
    checks = {
        f"at least {LEAST_RATE}/s": alone.rate >= LEAST_RATE,
        f"p95 below {WORST_P95_MS} ms": max(alone.p95_ms, beside.p95_ms) < WORST_P95_MS,
        "no error": not alone.errors and not beside.errors,
        f"beside downloads {beside.rate / alone.rate:.2f} of that (at least {LEAST_BESIDE_DOWNLOADS})":
            beside.rate >= LEAST_BESIDE_DOWNLOADS * alone.rate,
        f"healthy afterwards {wrong or ''}": not wrong,
    }  # fmt: skip
    if floors:
        bare, floor = floors
        share = alone.rate / floor.rate
        checks[f"{share:.2f} of the floor (at least {LEAST_SHARE}), {alone.rate / bare.rate:.2f} of the bare one"] = (
            share >= LEAST_SHARE
        )
    for words, is_met in checks.items():
        print(f"{'met' if is_met else 'MISSED'}: {words}")
    return int(not all(checks.values()))


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")


if __name__ == "__main__":
    main()
