"""QEMU's monitor (QMP) over a socket pair: no path on disk, nobody else can reach it.

https://qemu.readthedocs.io/en/v7.2.0/interop/qmp-spec.html
"""

import asyncio
import itertools
import json
import logging
import socket
from collections.abc import Callable
from typing import Any

from lab.errors import LabError

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10  # generous: a busy host; a QEMU that is silent for longer hangs
_LINE_LIMIT = 1 << 20


class Monitor:
    """One connection. Commands may overlap; events go to `on_event(name, data)`."""

    def __init__(self, on_event: Callable[[str, dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._greeted = asyncio.get_running_loop().create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._is_over = False
        self._reading: asyncio.Task[None] | None = None

    async def open(self, ours: socket.socket) -> None:
        """Take QEMU's greeting. Raises LabError when QEMU ends or stays silent instead."""
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT)
        self._reading = asyncio.create_task(self._read(reader))
        try:
            await asyncio.wait_for(self._greeted, ANSWER_SECONDS)
        except TimeoutError as exc:
            raise LabError(f"QEMU did not greet within {ANSWER_SECONDS} s") from exc
        await self.execute("qmp_capabilities")

    async def execute(self, command: str, **arguments: object) -> Any:
        """The command's return value. Raises LabError with QEMU's own words, or when no answer comes in time."""
        if self._writer is None or self._is_over:
            raise LabError("QEMU's monitor is not open")
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(json.dumps({"execute": command, "arguments": arguments, "id": number}).encode() + b"\n")
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError as exc:
            raise LabError(f"QEMU did not answer {command} within {ANSWER_SECONDS} s") from exc
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        if self._reading:
            self._reading.cancel()
        if self._writer:
            self._writer.close()
        self._abandon()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except (ConnectionError, ValueError) as exc:
            log.warning("QEMU's monitor: %s", exc)
        self._abandon()

    def _take(self, message: dict[str, Any]) -> None:
        if "QMP" in message and not self._greeted.done():
            self._greeted.set_result(None)
        elif "event" in message:
            self._on_event(message["event"], message.get("data", {}))
        elif (answer := self._waiting.get(message.get("id", 0))) and not answer.done():
            if "error" in message:
                answer.set_exception(LabError(f"QEMU: {message['error'].get('desc')}"))
            else:
                answer.set_result(message.get("return"))

    def _abandon(self) -> None:
        """Nobody waits for the answers of a QEMU that has ended, now or later."""
        self._is_over = True
        for answer in (self._greeted, *self._waiting.values()):
            if not answer.done():
                answer.set_exception(LabError("QEMU ended"))
                answer.exception()  # seen: a waiter that has gone must not make asyncio complain
