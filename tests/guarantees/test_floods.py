"""One machine that floods, or is slow, takes nothing from the others: over real connections to the real listener."""

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dodaiweb import provisioning
from tests.guarantees.tally import is_long, rounds
from tests.guarantees.whole import wait_until
from tests.real_callers import Caller, exchange, real_dodai, request
from tests.real_up import Up

pytestmark = pytest.mark.real_up
OTHERS = 8
LONGEST_P95_SECONDS = 0.3 if is_long() else 1.0  # the short form runs on computers that do much else meanwhile
MEASURINGS = 3  # of which one has to be good enough: a computer may stand still for a moment
NOISE_SECONDS = 0.02  # of a computer that does other things too: below that, twice says nothing


@pytest.fixture(scope="module")
def dodai(tmp_path_factory) -> Iterator[tuple[Up, list[Caller]]]:
    with real_dodai(Path(tmp_path_factory.mktemp("floods"), "data"), machines=OTHERS + 1) as (up, callers):
        for caller in callers:
            caller.boot()
            assert caller.say("install") == 200
        yield up, callers


def p95_of(callers: list[Caller], each: int, first: int) -> float:
    """Seconds in which 95 % of their events are answered, one every tenth of a second from each."""
    took: list[float] = []

    def speak(caller: Caller) -> None:
        with contextlib.closing(socket.create_connection(("127.0.0.1", caller.port))) as connection:
            for number in range(each):
                began = time.monotonic()
                assert exchange(connection, caller.progress((first + number) << 30)) == 200
                took.append(time.monotonic() - began)
                time.sleep(0.1)

    threads = [threading.Thread(target=speak, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == each * len(callers), "an event of another machine was refused"
    return statistics.quantiles(took, n=20)[-1]


def best_p95_of(callers: list[Caller], each: int, first: int, *, enough: float) -> float:
    """The shortest of some, or the first that is short enough."""
    found: list[float] = []
    while len(found) < MEASURINGS and (not found or found[-1] > enough):
        found.append(p95_of(callers, each, first + each * len(found)))
    return min(found)


@contextlib.contextmanager
def flood(port: int, words: Callable[[int], bytes], *, connections: int = 8) -> Iterator[dict[int, int]]:
    """As many requests as go through, on connections that are kept or made again; what they were answered."""
    stop, answers = threading.Event(), {}

    def send() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, AssertionError), socket.create_connection(("127.0.0.1", port)) as each:
                each.settimeout(30)
                for number in range(1_000_000):
                    status = exchange(each, words(number))
                    answers[status] = answers.get(status, 0) + 1
                    if stop.is_set():
                        return

    threads = [threading.Thread(target=send, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


@pytest.mark.parametrize("who", ["a machine of ours", "a stranger"])
def test_a_flood_does_not_slow_the_others(guarantee, dodai, who) -> None:
    tally = guarantee("T65", "Beside one machine that floods, the others' 95th percentile is at most twice as long")
    up, (flooder, *others) = dodai
    words = flooder.progress if who == "a machine of ours" else lambda n: request("/event/install", f"{n:043}", b"{}")
    each = rounds(30, 600)
    before = p95_of(others, each, first=0)
    longest = 2 * max(before, NOISE_SECONDS) if is_long() else max(LONGEST_P95_SECONDS, 2 * before)
    with tally.trial(each * len(others)), flood(up.ports[1], words) as answers:
        wait_until(lambda: answers.get(429), seconds=60, what="an end of what one may send at once")
        time.sleep(1)
        beside = best_p95_of(others, each, first=each, enough=longest)
    assert answers.get(500) is None
    assert beside <= longest, (before, beside, answers)


def test_a_request_that_trickles_in_loses_its_place(guarantee, dodai) -> None:
    tally = guarantee("T54", "A request that is not whole in time is given up, however steadily its bytes come")
    up, (_, caller, *_others) = dodai
    limit = provisioning.REQUEST_SECONDS + 2 * provisioning.LOOK_EVERY_SECONDS
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", up.ports[1])))
                for _ in range(rounds(50, 300))]  # fmt: skip
        began = time.monotonic()
        for each in slow:
            each.sendall(b"POST /event/log HTTP/1.1\r\nHost: dodai\r\n")
        assert caller.say("progress", {"phase": "fetch"}) == 200, "the others are answered meanwhile"
        if not is_long():
            return  # half a minute of trickling is for the long form
        with tally.trial(len(slow)):
            while slow and time.monotonic() < began + limit + 5:
                slow = [each for each in slow if still_open(each)]
                time.sleep(1)
            assert not slow, f"{len(slow)} connections are open after {time.monotonic() - began:.0f} s"


def still_open(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
        connection.setblocking(False)
        return bool(connection.recv(100))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            connection.setblocking(True)


def test_one_address_cannot_take_all_connections(guarantee, dodai) -> None:
    tally = guarantee("T54", "However many connections one address opens, the next machine is answered")
    up, (_, caller, *_others) = dodai
    with contextlib.ExitStack() as stack, tally.trial(provisioning.MOST_OF_ONE_ADDRESS + 100):
        for _ in range(provisioning.MOST_OF_ONE_ADDRESS + 100):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", up.ports[1])))
            each.sendall(b"GET /boot")
        assert caller.say("progress", {"phase": "fetch"}) == 200


def test_downloads_of_a_byte_a_second_do_not_starve_events(guarantee, dodai) -> None:
    tally = guarantee("T65", "Beside dozens of image downloads at a byte a second, events are answered as before")
    up, (_, *others) = dodai
    image = up.data / "images" / ("cd" * 32)
    with image.open("wb") as file:
        file.truncate(64 << 20)
    each = rounds(20, 300)
    with contextlib.ExitStack() as stack, tally.trial(each * len(others)):
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", up.ports[1] + 1))) for _ in range(48)]
        for download in slow:
            download.sendall(f"GET /image/{image.name} HTTP/1.1\r\nHost: dodai\r\n\r\n".encode())
            assert download.recv(1)
        assert best_p95_of(others, each, first=0, enough=LONGEST_P95_SECONDS) <= LONGEST_P95_SECONDS
