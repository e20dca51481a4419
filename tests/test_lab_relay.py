"""The relay that carries a guest's connections to Dodai's ports."""

import asyncio
import logging
import socket
import struct

from lab.relay import Relay

PATIENCE_SECONDS = 30
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST, as a guest's end by the plug may


def test_a_connection_that_is_reset_ends_quietly(caplog) -> None:
    with caplog.at_level(logging.INFO):
        assert asyncio.run(_reset_one()) == b""
    assert caplog.text == ""


def test_a_stop_ends_connections_quietly(caplog) -> None:
    with caplog.at_level(logging.INFO):
        assert asyncio.run(_stopped_one()) == b""
    assert caplog.text == ""


async def _stopped_one() -> bytes:
    """What the near side reads of a connection under way when the relay stops."""

    is_through = asyncio.Event()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_through.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    listening = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listening, *server.sockets[0].getsockname())
    await relay.start()
    reader, near = await asyncio.open_connection(*listening.getsockname())
    await asyncio.wait_for(is_through.wait(), PATIENCE_SECONDS)
    await relay.stop()
    said = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    near.close()
    server.close()
    return said


async def _reset_one() -> bytes:
    """What the far side reads to the end of a connection whose near side resets it."""
    read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    is_through = asyncio.Event()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_through.set()
        read.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    listening = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listening, *server.sockets[0].getsockname())
    await relay.start()
    _, near = await asyncio.open_connection(*listening.getsockname())
    await asyncio.wait_for(is_through.wait(), PATIENCE_SECONDS)
    near.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    near.transport.abort()
    said = await asyncio.wait_for(read, PATIENCE_SECONDS)
    await relay.stop()
    server.close()
    return said
