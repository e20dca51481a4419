"""How fast the pages are with 10,000 machines: the list, the fleet, and from a change to the changed page.

python3 tests/bench/pages.py [--machines N] [--runs N] [--postgres | --database URL] [--no-browser]

The aims: list p95 60 ms of server time and as many queries at any size; fleet 200 ms and 60 KB gzipped; from publishing
a change to the changed page 100 ms. `--postgres` runs a cluster of its own; a URL must name an empty database.
"""

import argparse
import gc
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SIZES = (100, 1_000, 10_000)
AIMS = {"list p95 ms": 60, "fleet ms": 200, "fleet gzipped KB": 60, "change to page ms": 100}
ASKED = (
    "", "page=2", "page=100", "page=200", "size=100", "sort=-name", "sort=power", "sort=-state", "sort=cluster",
    "sort=-cluster", "sort=place", "sort=-image", "sort=seen", "sort=-seen", "state=free", "state=in_use&page=50",
    "state=failed", "state=failed&cause=silent", "state=aside", "power=off", "cluster=cluster-07", "rack=R042",
    "kind=real", "q=r042", "q=r042-u07", "q=3c:ec:01:00:10:20", "q=3cec01001020", "q=SN0004242", "q=10.200.16",
    "q=team-7", "q=cluster-1", "q=debian", "q=nothing-like-it", "q=r04+debian&sort=-seen&state=in_use",
)  # fmt: skip


def main() -> None:
    chosen = _arguments()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dodai-bench-"))
        _environment(Path(folder), chosen.database or (stack.enter_context(_postgres()) if chosen.postgres else ""))
        stack.enter_context(_valkey(Path(folder)))
        figures = _measure(chosen)
    for name, aim in AIMS.items():
        if name in figures:
            print(f"{name}: {figures[name]:.0f} (aim: {aim} or less)")
    sys.exit(any(figures.get(name, 0) > aim for name, aim in AIMS.items()))


def _measure(chosen: argparse.Namespace) -> dict[str, float]:
    import django

    django.setup()
    from django.core.management import call_command

    from tests.bench import many_machines

    call_command("migrate", verbosity=0)
    client, counted = _client(), {}
    for size in sorted({*(size for size in SIZES if size < chosen.machines), chosen.machines}):
        _empty()
        many_machines.fill(size)
        counted[size] = {path: _queries(client, path) for path in ("/machines/", "/machines/?q=r00&sort=-cluster", "/")}
        print(f"{size:,} machines: queries {counted[size]}", flush=True)
    gc.freeze()  # as `up` does before it starts the pages
    same = len({tuple(each.values()) for each in counted.values()}) == 1
    print("the same number of queries at every size" if same else "THE NUMBER OF QUERIES GROWS", flush=True)
    figures = _list(client, chosen.runs) | _fleet(client, chosen.runs)
    if chosen.browser:
        figures |= _browser()
    return figures


def _list(client, runs: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
    took = {asked: [_took(client, f"/machines/?{asked}") for _ in range(runs)] for asked in ASKED}
    for asked in sorted(took, key=lambda asked: -min(took[asked])[0])[:5]:
        wall, cpu = min(took[asked])
        print(f"  slow: ?{asked} at best {wall:.0f} ms, {cpu:.0f} ms of CPU")
    walls = sorted(wall for each in took.values() for wall, _ in each)
    cpus = sorted(cpu for each in took.values() for _, cpu in each)
    p50, p95 = walls[len(walls) // 2], walls[int(len(walls) * 0.95)]
    print(
        f"list: {len(ASKED)} addresses x {runs}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {walls[-1]:.0f} ms; "
        f"CPU p50 {cpus[len(cpus) // 2]:.0f} ms, p95 {cpus[int(len(cpus) * 0.95)]:.0f} ms",
        flush=True,
    )
    return {"list p95 ms": p95}


def _fleet(client, runs: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
    took = [_took(client, "/") for _ in range(max(runs, 5))]
    packed = len(gzip.compress(client.get("/").content, 6)) / 1000
    wall, cpu = statistics.median(wall for wall, _ in took), statistics.median(cpu for _, cpu in took)
    print(
        f"fleet: median {wall:.0f} ms ({cpu:.0f} ms of CPU), best {min(took)[0]:.0f} ms, {packed:.0f} KB gzipped",
        flush=True,
    )
    return {"fleet ms": wall, "fleet gzipped KB": packed}


def _browser() -> dict[str, float]:
    from dodaiweb.asgi import application
    from tests.chromium import launched
    from tests.serving import served

    with served(application) as port, launched() as browser:
        context = browser.new_context(base_url=f"http://127.0.0.1:{port}")
        context.add_cookies([{"name": "dodai_session", "value": _session(), "url": f"http://127.0.0.1:{port}"}])
        took = {
            name: _changes(context, path) for name, path in (("list", "/machines/"), ("machine", "/machines/r000-u02/"))
        }
    for name, times in took.items():
        print(
            f"change to page, {name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms", flush=True
        )
    return {"change to page ms": max(statistics.median(times) for times in took.values())}


def _changes(context, path: str, *, times: int = 9) -> list[float]:  # type: ignore[no-untyped-def]
    """Milliseconds from storing a machine's power to the page that shows it, by the clock that both share."""
    from datetime import timedelta

    from machines import actions
    from machines.models import Machine
    from machines.power.base import Power

    page = context.new_page()
    page.goto(path)
    page.wait_for_selector("#live[data-on='1']")
    page.wait_for_timeout(1500)
    found = []
    for number in range(times):
        machine, state = Machine.objects.get(name="r000-u02"), (Power.ON, Power.OFF)[number % 2]
        if machine.power_state == state:
            state = Power.OFF if state == Power.ON else Power.ON
        page.evaluate(WATCH, str(state))
        began = time.time()
        actions.record_power(machine, state, next_in=timedelta(seconds=30))
        seen = page.evaluate("window.seen")
        found.append(seen - began * 1000)
        page.wait_for_timeout(900)  # two changes within LEAST_GAP are one update
    page.close()
    return found


WATCH = """state => { window.seen = new Promise(resolve => {
  const look = () => { const row = document.querySelector('[href="/machines/r000-u02/"]')?.closest('tr') || document.getElementById('page');
    return row.querySelector(`.pw[data-p="${state}"]`); };
  const watcher = new MutationObserver(() => { if (look()) { watcher.disconnect(); resolve(performance.timeOrigin + performance.now()); } });
  watcher.observe(document.getElementById('page'), {subtree: true, childList: true, attributes: true, characterData: true});
}); }"""  # noqa: E501


def _took(client, path: str) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Milliseconds by the clock and of CPU: on a busy host only the second says something of the page."""
    began, busy = time.perf_counter(), time.thread_time()
    response = client.get(path)
    took = (time.perf_counter() - began) * 1000, (time.thread_time() - busy) * 1000
    assert response.status_code == 200, response
    return took


def _queries(client, path: str) -> int:  # type: ignore[no-untyped-def]
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


def _client():  # type: ignore[no-untyped-def]
    from django.test import Client

    from tests import scenes

    client = Client()
    client.force_login(scenes.make_user("admin", is_staff=True))
    return client


def _session() -> str:
    from tests import scenes

    return scenes.session_of(scenes.make_user("operator"))


def _empty() -> None:
    from installs.models import Event, Image, Install
    from machines.models import Cluster, Machine, Vlan

    for model in (Event, Install, Machine, Cluster, Vlan, Image):
        model.objects.all().delete()


def _environment(folder: Path, database: str) -> None:
    for name in [name for name in os.environ if name.startswith("DODAI_")]:
        del os.environ[name]
    os.environ |= {
        "DODAI_DATA": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "dodaiweb.settings",
        "DODAI_ALLOWED_HOSTS": "127.0.0.1,testserver", "DJANGO_ALLOW_ASYNC_UNSAFE": "true", "DODAI_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    if database:
        os.environ["DODAI_DATABASE_URL"] = database


@contextmanager
def _postgres() -> Iterator[str]:
    from dodaiweb.testing import postgres

    with postgres.cluster() as url:
        import psycopg

        with psycopg.connect(url.replace("/dodai?", "/postgres?"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE dodai")
        yield url


@contextmanager
def _valkey(folder: Path) -> Iterator[None]:
    from dodaiweb import valkey

    path = folder / "data" / "run" / "valkey.sock"
    path.parent.mkdir(parents=True, mode=0o700)
    command = ["setpriv", "--pdeathsig", "KILL", *valkey.command(path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        valkey.wait(f"unix://{path}", seconds=20)
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--database", default="")
    parser.add_argument("--no-browser", action="store_false", dest="browser")
    return parser.parse_args()


if __name__ == "__main__":
    main()
