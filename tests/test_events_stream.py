"""The event stream, by real HTTP and a real Valkey."""

import asyncio
import http.client
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.conf import settings

from tests import scenes
from tests.serving import served

pytestmark = pytest.mark.django_db(transaction=True)
CHECK_SECONDS = 0.4
PATIENCE = 40


@pytest.fixture
def port(transactional_db):
    from dodaiweb import asgi

    with served(asgi.Pages(asgi.application._django, check_seconds=CHECK_SECONDS)) as port:
        yield port


@pytest.fixture
def calm_port(transactional_db):
    """Of pages that look only now and then whether a stream may go on, as the product does."""
    from dodaiweb import asgi

    with served(asgi.Pages(asgi.application._django)) as port:
        yield port


@pytest.fixture
def cookie(client, restored_groups) -> str:
    client.force_login(scenes.make_user("viewer"))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


@pytest.fixture
def restored_groups(transactional_db):
    scenes.restore_groups()


@contextmanager
def opened(port: int, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/events/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def status(port: int, method: str = "GET", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, "/events/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    answered = connection.getresponse().status
    connection.close()
    return answered


def read_until(stream: http.client.HTTPResponse, wanted: bytes) -> None:
    while line := stream.readline():
        if wanted in line:
            return
    raise AssertionError(f"the stream ended before {wanted!r}")


def in_own_loop(scenario):
    """Run it in a thread: Playwright leaves a running loop in this one for as long as its browser is open."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, scenario).result(timeout=60)


def publish(machine: int) -> None:
    from machines import doorbell

    doorbell._publish({"install": None, "machine": machine})


def test_who_is_not_logged_in_gets_no_stream(port):
    assert status(port) == 401
    assert status(port, Cookie=f"{settings.SESSION_COOKIE_NAME}=madeup") == 401
    assert status(port, Cookie='a=;;="') == 401


def test_who_may_see_no_machine_gets_no_stream(port, client, restored_groups):
    client.force_login(scenes.make_user(None))
    assert (
        status(port, Cookie=f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}")
        == 401
    )


def test_pages_of_other_sites_get_no_stream(port, cookie):
    assert status(port, Cookie=cookie, Origin="http://evil.example") == 403
    assert status(port, Cookie=cookie, Sec_Fetch_Site="cross-site") == 403
    assert status(port, "POST", Cookie=cookie) == 405


def test_a_page_of_this_site_gets_a_stream(port, cookie):
    with opened(port, Cookie=cookie, Origin=f"http://127.0.0.1:{port}", Sec_Fetch_Site="same-origin") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        read_until(stream, b"retry: ")


def test_a_change_reaches_all_open_streams(port, cookie):
    with opened(port, Cookie=cookie) as one, opened(port, Cookie=cookie) as other:
        read_until(one, b'{"all":true}')  # from here on Redis is listened to
        started = time.monotonic()
        publish(7)
        for stream in (one, other):
            read_until(stream, b'data: {"install": null, "machine": 7}')
        assert time.monotonic() - started < PATIENCE / 2


def test_a_quiet_stream_says_that_it_is_alive(port, cookie):
    with opened(port, Cookie=cookie) as stream:
        read_until(stream, b": still here")


@pytest.mark.parametrize("end", ["log out", "deactivate", "change the password", "take out of the group"])
def test_a_stream_ends_with_the_right_to_read_it(port, cookie, client, end):
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.get()
    with opened(port, Cookie=cookie) as stream:
        read_until(stream, b": hello")
        match end:
            case "log out":
                client.logout()
            case "deactivate":
                get_user_model().objects.update(is_active=False)
            case "change the password":
                user.set_password("another-secret")
                user.save()
            case _:
                user.groups.clear()
        began = time.monotonic()
        with pytest.raises(AssertionError, match="ended"):
            read_until(stream, b"never")
        assert time.monotonic() - began < PATIENCE / 2
    assert status(port, Cookie=cookie) == 401


def test_a_stream_that_is_never_quiet_is_checked_as_well(port, cookie, client):
    with opened(port, Cookie=cookie) as stream:
        read_until(stream, b'{"all":true}')
        client.logout()
        ending = time.monotonic() + PATIENCE
        while time.monotonic() < ending and stream.readline():
            publish(7)
        assert time.monotonic() < ending, "it went on"


def test_the_stream_of_the_product_is_checked_every_few_seconds():
    from dodaiweb import asgi

    assert asgi.CHECK_SECONDS <= 5


def test_many_streams_cost_no_threads(calm_port, cookie):
    import threading
    from contextlib import ExitStack

    before = threading.active_count()
    with ExitStack() as stack:
        streams = [stack.enter_context(opened(calm_port, Cookie=cookie)) for _ in range(60)]
        read_until(streams[0], b'{"all":true}')  # from here on Redis is listened to
        for stream in streams[1:]:
            read_until(stream, b": hello")
        publish(9)
        for stream in streams:
            read_until(stream, b'"machine": 9')
        assert threading.active_count() <= before + 2


def test_the_pages_themselves_are_answered_beside_the_streams(port, cookie):
    with opened(port, Cookie=cookie) as stream:
        read_until(stream, b": hello")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Cookie": cookie})
        assert connection.getresponse().status == 200
        connection.close()


def test_a_reader_that_is_too_slow_is_let_go_and_the_others_are_not():
    from dodaiweb.live import QUEUED_MESSAGES, Hub

    async def scenario():
        hub = Hub(settings.REDIS_URL)
        async with hub.reader() as slow, hub.reader() as quick:
            for number in range(QUEUED_MESSAGES + 1):
                hub._tell(str(number).encode())
                assert await quick.messages.get() == str(number).encode()
            return slow.lost.is_set(), quick.lost.is_set()

    assert in_own_loop(scenario()) == (True, False)


def test_readers_are_told_to_look_again_when_redis_comes_back(tmp_path):
    from dodaiweb import valkey
    from dodaiweb.live import LOST, RELOAD, Hub

    socket = tmp_path / "v.sock"

    def start():
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *valkey.command(socket)], stdout=subprocess.DEVNULL
        )
        valkey.wait(f"unix://{socket}", seconds=20)
        return server

    async def scenario():
        hub = Hub(f"unix://{socket}")
        first = start()
        async with hub.reader() as reader:
            assert await asyncio.wait_for(reader.messages.get(), PATIENCE) == RELOAD
            first.kill()
            first.wait()
            assert await asyncio.wait_for(reader.messages.get(), PATIENCE) == LOST
            async with hub.reader() as late:
                assert late.messages.get_nowait() == LOST
            second = await asyncio.to_thread(start)
            try:
                return await asyncio.wait_for(reader.messages.get(), PATIENCE)
            finally:
                second.kill()
                second.wait()

    assert in_own_loop(scenario()) == RELOAD


def test_without_readers_nobody_listens_to_redis():
    from dodaiweb.live import Hub

    async def scenario():
        hub = Hub(settings.REDIS_URL)
        async with hub.reader():
            listening = hub._listening
        return listening.done()

    assert in_own_loop(scenario())
