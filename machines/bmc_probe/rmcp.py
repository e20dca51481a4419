"""Asks an IPMI BMC what it says to strangers: packets of IPMI 2.0, chapter 13, without a password.

A proposal that is accepted costs the BMC half a session until it forgets it, so few are made, one after the other.
"""

import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from machines.power.base import BmcEndpoint

RMCP = b"\x06\x00\xff\x07"
OPEN_REQUEST, OPEN_ANSWER, RAKP1, RAKP2, RAKP3, RAKP4 = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15  # table 13-16
SUITES = {17: (3, 4, 1), 3: (1, 1, 1), 2: (1, 1, 0), 1: (1, 0, 0), 0: (0, 0, 0)}  # table 22-20
NAME_ONLY, ADMINISTRATOR = 0x10, 4
APPLICATION, GET_AUTHENTICATION, CLOSE_SESSION = 0x06, 0x38, 0x3C
CONSOLE_SESSION = b"DODA"
TRIES, FIRST_WAIT, WAIT_MORE = 3, 0.5, 0.4


@dataclass(frozen=True)
class Greeting:
    """What the BMC says of itself before anybody logs in (22.13)."""

    speaks_ipmi_2: bool
    lets_anonymous_in: bool


class Stranger:
    """A socket to one BMC. Use as a context. Methods return None where the BMC says nothing; OSError may come."""

    def __init__(self, endpoint: BmcEndpoint) -> None:
        family, kind, protocol, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, kind, protocol)
        self._socket.connect(address)
        self._tag = os.urandom(1)[0]

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def greet(self) -> Greeting | None:
        request = _message(GET_AUTHENTICATION, bytes((0x8E, ADMINISTRATOR)), sequence=1)
        packet = RMCP + bytes(9) + bytes((len(request),)) + request
        answer = self._ask(packet, lambda data: data[4] == 0 and len(data) >= 25 and data[19] == GET_AUTHENTICATION)
        if answer is None or answer[20]:
            return None
        status, extended = answer[23], answer[24]
        return Greeting(speaks_ipmi_2=bool(extended & 0x02), lets_anonymous_in=bool(status & 0x01))

    def propose(self, suite: int) -> bytes | None:
        """The BMC's session for this suite, b"" when it refuses. Raises TimeoutError when it says nothing."""
        algorithms = SUITES[suite]
        blocks = b"".join(bytes((kind, 0, 0, 8, value, 0, 0, 0)) for kind, value in enumerate(algorithms))
        answer = self._payload(OPEN_REQUEST, bytes((0, 0, 0)) + CONSOLE_SESSION + blocks, OPEN_ANSWER)
        if answer[1] or len(answer) < 36:
            return b""
        taken = (answer[16], answer[24], answer[32])
        return answer[8:12] if taken == algorithms else b""  # some answer with another suite than was asked for

    def enter_without_password(self, user: str) -> bool:
        """Whether suite 0 lets this user in as administrator, with no password at all. The session is closed again."""
        session = self.propose(0)
        if not session:
            return False
        name = user.encode()[:20]
        role = bytes((NAME_ONLY | ADMINISTRATOR, 0, 0, len(name)))
        if self._payload(RAKP1, bytes(3) + session + os.urandom(16) + role + name, RAKP2)[1]:
            return False
        if self._payload(RAKP3, bytes(3) + session, RAKP4)[1]:
            return False
        closing = _message(CLOSE_SESSION, session, sequence=2)
        self._socket.send(_session_packet(0, closing, session=session, sequence=1))
        return True

    def _payload(self, kind: int, body: bytes, wanted: int) -> bytes:
        """The payload of the answer. Raises TimeoutError."""
        self._tag = (self._tag + 1) & 0xFF
        packet = _session_packet(kind, bytes((self._tag,)) + body)
        tag = self._tag
        answer = self._ask(
            packet, lambda data: len(data) >= 18 and data[4] == 6 and data[5] & 0x3F == wanted and data[16] == tag
        )
        if answer is None:
            raise TimeoutError
        return answer[16:]

    def _ask(self, packet: bytes, is_answer: Callable[[bytes], bool]) -> bytes | None:
        for attempt in range(TRIES):
            self._socket.send(packet)
            end = time.monotonic() + FIRST_WAIT + attempt * WAIT_MORE
            while (left := end - time.monotonic()) > 0:
                self._socket.settimeout(left)
                try:
                    data = self._socket.recv(2048)
                except TimeoutError:
                    break
                if len(data) >= 16 and data[2:4] == RMCP[2:] and is_answer(data):
                    return data
        return None


def _session_packet(kind: int, payload: bytes, *, session: bytes = bytes(4), sequence: int = 0) -> bytes:
    return RMCP + bytes((6, kind)) + session + struct.pack("<IH", sequence, len(payload)) + payload


def _message(command: int, data: bytes, *, sequence: int) -> bytes:
    """An IPMI message to the BMC (13.8), from the address that remote consoles use."""
    head = bytes((0x20, APPLICATION << 2))
    body = bytes((0x81, sequence << 2, command)) + data
    return head + _checksum(head) + body + _checksum(body)


def _checksum(data: bytes) -> bytes:
    return bytes((-sum(data) & 0xFF,))
