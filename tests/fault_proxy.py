"""A bad network between Dodai and its BMCs: UDP that is lost, doubled, late, out of order, damaged or misdelivered.

One thread with an event loop of its own. Each BMC gets a port in front of it; each client gets a socket of its own
towards the BMC, which tells its sessions apart by where they come from.
"""

import asyncio
import random
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

Address = tuple[str, int]
LATE_SECONDS = 0.3
OPEN_SESSION_REQUEST = 0x10  # payload type, IPMI 2.0 table 13-16
RMCP_PLUS = 6  # authentication type of what is said in or for a session of IPMI 2.0, table 13-8; of what is not: 0


@dataclass(frozen=True)
class Faults:
    """Shares of packets, each way, each from 0 to 1."""

    drop: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    garble: float = 0.0
    misdeliver: float = 0.0


@dataclass
class Conversation:
    """What one client and one BMC said: from its log-in to its last packet, by time.monotonic()."""

    front: int
    began: float
    ended: float
    has_logged_in: bool = False


@dataclass
class FaultProxy:
    seed: int
    faults: Faults = Faults()
    conversations: list[Conversation] = field(default_factory=list)
    packets: int = 0
    faults_done: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._clients: list[_Client] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def front(self, bmc: int) -> int:
        """A port that leads to the BMC of that port, through the faults."""
        return cast(int, self._do(self._open(bmc)))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def most_at_once(self, *, since: int = 0) -> int:
        """How many clients talked with one BMC in the same moment, at the worst: a session each."""
        spoke = [talk for talk in self.conversations[since:] if talk.has_logged_in]
        overlaps = [sum(o.front == t.front and o.began <= t.began <= o.ended for o in spoke) for t in spoke]
        return max(overlaps, default=0)

    def pass_on(self, packet: bytes, send: Any, others: list[Any]) -> None:
        """Send a packet the way the network is today."""
        self.packets += 1
        chance, faults = self._chance.random, self.faults
        if chance() < faults.drop:
            self.faults_done += 1
            return
        if others and chance() < faults.misdeliver:
            self.faults_done += 1
            send = self._chance.choice(others)
        if packet and chance() < faults.garble:
            self.faults_done += 1
            at = self._chance.randrange(len(packet))
            packet = packet[:at] + bytes([packet[at] ^ (1 << self._chance.randrange(8))]) + packet[at + 1 :]
        for _ in range(2 if chance() < faults.duplicate else 1):
            delay = self._chance.uniform(0, LATE_SECONDS) if chance() < faults.late else 0.0
            self._loop.call_later(delay, send, packet)

    def answers_of_others(self, client: "_Client") -> list[Any]:
        return [other.answer for other in self._clients if other is not client and not other.is_over]

    def begin(self, client: "_Client") -> None:
        self._clients = [other for other in self._clients if not other.is_over] + [client]
        self.conversations.append(client.talk)

    async def _open(self, bmc: int) -> int:
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Front(self, bmc), local_addr=("127.0.0.1", 0))
        return int(transport.get_extra_info("sockname")[1])

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class _Front(asyncio.DatagramProtocol):
    """Where clients come in."""

    def __init__(self, proxy: FaultProxy, bmc: int) -> None:
        self.proxy, self.bmc = proxy, bmc
        self.clients: dict[Address, _Client] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.port = int(transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: Address) -> None:
        client = self.clients.get(addr)
        if client is None or client.is_over or client.is_followed_by(data):
            client = self.clients[addr] = _Client(self, addr)
            self.proxy.begin(client)
        client.ask(data)


class _Client(asyncio.DatagramProtocol):
    """One client's way to the BMC and back."""

    IDLE_SECONDS = 8.0  # longer than any call lives

    def __init__(self, front: _Front, address: Address) -> None:
        self.front, self.address = front, address
        self.talk = Conversation(front.port, time.monotonic(), time.monotonic())
        self._waiting: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(
            loop.create_datagram_endpoint(lambda: self, remote_addr=("127.0.0.1", front.bmc))
        )  # fmt: skip

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.talk.ended > self.IDLE_SECONDS

    def is_followed_by(self, packet: bytes) -> bool:
        """Whether this is another client: the kernel gives a port again once its socket is closed.

        A client first asks, outside of any session, what the BMC can do.
        """
        return self.talk.has_logged_in and packet[4:5] != bytes((RMCP_PLUS,))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        for packet in self._waiting:
            self._send(packet)

    def ask(self, packet: bytes) -> None:
        self.talk.ended = time.monotonic()
        if not self.talk.has_logged_in and packet[4:5] == bytes((RMCP_PLUS,)):
            self.talk.has_logged_in = packet[5] & 0x3F == OPEN_SESSION_REQUEST
            self.talk.began = self.talk.ended  # who had this port before may never have got so far
        self.front.proxy.pass_on(packet, self._send, [])

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.front.proxy.pass_on(data, self.answer, self.front.proxy.answers_of_others(self))

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: nothing comes back, as on a network."""

    def answer(self, packet: bytes) -> None:
        self.front.transport.sendto(packet, self.address)

    def _send(self, packet: bytes) -> None:
        if self._transport:
            self._transport.sendto(packet)
        else:
            self._waiting.append(packet)


@contextmanager
def fault_proxy(seed: int, faults: Faults) -> Iterator[FaultProxy]:
    proxy = FaultProxy(seed, faults)
    try:
        yield proxy
    finally:
        proxy.close()
