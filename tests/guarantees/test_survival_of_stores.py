"""T8, T9: Valkey is flushed, frozen or away, PostgreSQL is restarted; nothing is lost and pages still load."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import django_rq
import django_rq.settings
import pytest
import redis

from dodaiweb import valkey
from dodaiweb.testing import postgres
from installs.models import Install
from machines import doorbell
from tests import installing
from tests.guarantees import played
from tests.guarantees.killing import Operator, Round, running
from tests.guarantees.tally import rounds

DELAY_SECONDS = rounds(120, 30)  # after a store is back; the short form runs on computers that do much else


@pytest.fixture
def frozen_valkey(tmp_path, monkeypatch):
    """A Valkey that takes connections and answers nothing, where the settings look for it."""
    socket = tmp_path / "v.sock"
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *valkey.command(socket)], stdout=subprocess.DEVNULL)
    try:
        valkey.wait(f"unix://{socket}", seconds=20)
        monkeypatch.setitem(django_rq.settings.QUEUES["default"], "URL", f"unix://{socket}")
        monkeypatch.setattr(doorbell, "_mute_until", 0.0)
        doorbell._connection.cache_clear()
        server.send_signal(signal.SIGSTOP)
        yield server
    finally:
        doorbell._connection.cache_clear()
        server.kill()
        server.wait()


def test_a_frozen_valkey_holds_up_nobody_for_long_and_is_rung_again_once_it_answers(frozen_valkey, monkeypatch):
    """An event or a step rings and tells pages some ten times."""
    monkeypatch.setattr(doorbell, "WAIT_SECONDS", 0.5)
    began = time.monotonic()
    for _ in range(200):
        doorbell._ring("installs.jobs.look")
        doorbell._publish({"install": 1})
    assert 0.4 < time.monotonic() - began < 60, "each of 400 waits by itself"
    os.kill(frozen_valkey.pid, signal.SIGCONT)
    monkeypatch.setattr(doorbell, "_mute_until", 0.0)
    doorbell._ring("installs.jobs.look")
    assert django_rq.get_queue().count >= 1


@pytest.fixture
def site(tmp_path, django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), running(tmp_path) as site:
        yield site


def many(count: int) -> list:
    return [installing.make_machine(f"node{number}", driver="played", number=number) for number in range(1, count + 1)]


@contextlib.contextmanager
def while_installing(site, machines, disturb) -> Iterator[float]:
    """Installs all of them, does `disturb` meanwhile; yields when that was over."""
    over: list[float] = []
    finished = threading.Event()

    def run() -> None:
        time.sleep(1.0)
        disturb()
        over.append(time.time())
        finished.wait(600)  # the kernel ends what a thread started, PostgreSQL, with the thread (prctl(2))

    beside = threading.Thread(target=run, daemon=True)
    operator = Operator(site)
    beside.start()
    many_at_once = Round(site, operator, machines, is_calm=lambda: bool(over))
    try:
        many_at_once.run()
        yield over[0]
    finally:
        finished.set()


def went_on_in_time(back_at: float) -> None:
    """None is lost, and each went on soon after the store was back."""
    for install in Install.objects.all():
        assert install.state == "installed"
        assert install.ended_at.timestamp() - back_at < DELAY_SECONDS


def test_nothing_is_lost_while_valkey_is_flushed_or_away(site, guarantee):
    tally = guarantee("T8", "Valkey flushed again and again, then away: no install is lost, pages load")
    machines, away_seconds = many(rounds(6, 18)), rounds(6, 180)
    operator, pages = Operator(site), []

    def disturb() -> None:
        with redis.Redis.from_url(site.valkey_url) as client:
            for _ in range(10):
                client.flushall()
                time.sleep(0.05)
            _go_away(
                site, client, away_seconds, lambda: pages.append((operator.page("/"), operator.page("/installs/")))
            )

    with tally.trial(len(machines)):
        with while_installing(site, machines, disturb) as back_at:
            went_on_in_time(back_at)
        assert pages
        assert set(pages) == {(200, 200)}


def _go_away(site, client: redis.Redis, seconds: float, meanwhile) -> None:
    """Nobody reaches Valkey: its socket is hidden and who is connected is thrown out. Then it is there, and empty."""
    socket = site.data / "run" / "valkey.sock"
    socket.rename(socket.with_suffix(".hidden"))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(redis.RedisError):
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub", skipme=True)
        meanwhile()
        time.sleep(0.2)
    client.flushall()
    socket.with_suffix(".hidden").rename(socket)


@pytest.mark.skipif(not postgres.programs(), reason="Debian's postgresql is not there")
def test_postgresql_is_restarted_in_mid_step(tmp_path, django_db_setup, django_db_blocker, guarantee):
    """The Round checks that no step was left out or done again after a later one, and that one boot was granted."""
    tally = guarantee(
        "T9", "PostgreSQL stopped and started in mid-step: callbacks get 503, no step is lost or repeated"
    )
    with (
        django_db_blocker.unblock(), postgres.restartable_cluster() as cluster,
        running(tmp_path, _with_database(cluster.url)) as site,
    ):  # fmt: skip
        machines, answers = many(4), []

        def disturb() -> None:
            for _ in range(rounds(2, 8)):
                cluster.stop()
                time.sleep(1)
                mac = "52:54:00:00:00:01"
                try:
                    answer = played.once(site.ports[1], "GET", f"/boot.ipxe?mac={mac}")
                    answers.append((answer.status_code, answer["Retry-After"]))
                finally:
                    cluster.start()
                time.sleep(0.7)

        with tally.trial(len(machines)):
            with while_installing(site, machines, disturb) as back_at:
                went_on_in_time(back_at)
            assert set(answers) == {(503, "5")}


def _with_database(url: str) -> str:
    import psycopg

    with psycopg.connect(url.replace("/dodai?", "/postgres?"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE dodai")
    return url
