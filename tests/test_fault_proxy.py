"""The bad network of the tests counts clients rightly, whichever ports the kernel gives them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests import ports
from tests.fault_proxy import FaultProxy, Faults, fault_proxy

RMCP = b"\x06\0\xff\x07"
ABILITIES, OPEN, GET_POWER = RMCP + bytes(9), RMCP + b"\x06\x10" + bytes(9), RMCP + b"\x06\xc0" + bytes(9)


@pytest.fixture
def front() -> Iterator[tuple[FaultProxy, int]]:
    with socket.socket(type=socket.SOCK_DGRAM) as bmc, fault_proxy(1, Faults()) as proxy:
        bmc.bind(("127.0.0.1", 0))
        yield proxy, proxy.front(bmc.getsockname()[1])


@contextmanager
def client(front: tuple[FaultProxy, int], port: int) -> Iterator[None]:
    """One that has logged in at the BMC, from that port of its own."""
    with socket.socket(type=socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", port))
        ours.connect(("127.0.0.1", front[1]))
        say(front[0], ours, ABILITIES, ABILITIES, OPEN, OPEN, GET_POWER)  # what is lost is said again
        yield
        say(front[0], ours, GET_POWER)


def say(proxy: FaultProxy, ours: socket.socket, *packets: bytes) -> None:
    """Send them and wait until the proxy has heard them."""
    end, heard = time.monotonic() + 30, proxy.packets + len(packets)
    for packet in packets:
        ours.send(packet)
    while proxy.packets < heard:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_comes_after_another_from_the_same_port_is_somebody_else(front):
    one, other = ports.free(2, kind=socket.SOCK_DGRAM)
    for port in (one, other, one, other, other):
        with client(front, port):
            pass
    assert front[0].most_at_once() == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clients_at_the_same_time_are_counted(front, count):
    with ExitStack() as stack:
        for port in ports.free(count, kind=socket.SOCK_DGRAM):
            stack.enter_context(client(front, port))
    assert front[0].most_at_once() == count
