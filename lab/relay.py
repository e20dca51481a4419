"""Carries TCP connections from a listening socket to one address, and nowhere else."""

import asyncio
import contextlib
import logging
import socket

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
MOST_CONNECTIONS = 256
_CHUNK = 1 << 16
# A guest that is switched off says no goodbye: such a connection is found dead after 30 + 3 x 10 s.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class Relay:
    def __init__(self, listening: socket.socket, host: str, port: int) -> None:
        self._listening = listening
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, sock=self._listening)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.closing(writer):
                if len(self._connections) <= MOST_CONNECTIONS:
                    await self._carry(reader, writer)
        except (OSError, TimeoutError) as exc:
            log.debug("relay to %s:%s: %s", *self._target, exc)  # the guest sees its connection closed
        except asyncio.CancelledError:
            pass  # by `stop`; asyncio's streams would print it as a fault of their own (Python 3.11)
        finally:
            self._connections.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(*self._target), CONNECT_SECONDS)
        with contextlib.closing(far_writer):
            for number, value in ((socket.SO_KEEPALIVE, 1), *_KEEPALIVE):
                level = socket.SOL_SOCKET if number == socket.SO_KEEPALIVE else socket.IPPROTO_TCP
                writer.get_extra_info("socket").setsockopt(level, number, value)
            try:
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(_pump(reader, far_writer))
                    both_ways.create_task(_pump(far_reader, writer))
            except* OSError as broken:  # one side broke it off; the other sees its connection closed
                log.debug("relay to %s:%s: %s", *self._target, broken.exceptions[0])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the one side has said all it has to say; the other may still be talking."""
    while text := await reader.read(_CHUNK):
        writer.write(text)
        await writer.drain()
    writer.write_eof()
