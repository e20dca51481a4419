"""Ports for servers that a test starts a moment later.

They lie below those that the kernel gives out by itself: until the server has its port, no connection is made from it
and no socket bound to "any" takes it.
"""

import secrets
import socket

LOWEST, END = 10_000, 20_000  # there practice servers begin to have their BMCs, and further up is what the kernel gives


def free(count: int = 1, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """So many ports in a row on 127.0.0.1 that nobody has at this moment."""
    while True:
        first = LOWEST + secrets.randbelow(END - LOWEST - count)
        ports = list(range(first, first + count))
        if all(_is_free(port, kind) for port in ports):
            return ports


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
