"""One subscription a process to what changed, fanned out to the event streams of all open pages.

Messages are hints: a page that gets one fetches what it shows afresh. So losing some is harmless as long as the
reader is told, which is what RELOAD is for.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from machines.doorbell import CHANNEL

logger = logging.getLogger(__name__)

RELOAD = b'{"all":true}'
LOST = b'{"lost":true}'  # until the next RELOAD nothing will be heard of changes
QUEUED_MESSAGES = 200
LONGEST_MESSAGE = 1000
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0


class Reader:
    """One open stream. `lost` is set once it was too slow and must be closed; its browser then comes back."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_MESSAGES)
        self.lost = asyncio.Event()

    def offer(self, message: bytes) -> None:
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            self.lost.set()


class Hub:
    """Belongs to one event loop. It listens to Redis while anybody reads, and comes back when Redis does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._readers: set[Reader] = set()
        self._listening: asyncio.Task[None] | None = None
        self._is_lost = False

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        reader = Reader()
        self._readers.add(reader)
        if self._is_lost:
            reader.offer(LOST)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                await self._stop_listening()

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        # Waited for, so that a loop that ends right after this finds nothing half-closed. More than once, as a
        # cancellation in the middle of connecting can be lost in the Redis client.
        while listening and not listening.done():
            listening.cancel()
            await asyncio.wait([listening], timeout=0.1)

    async def _listen(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with redis.asyncio.from_url(self._url) as client, client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    self._is_lost = False
                    self._tell(RELOAD)  # whatever happened before is not known here
                    pause = FIRST_PAUSE_SECONDS
                    await self._pass_on(channel)
            except (RedisError, OSError) as exc:
                self._lose(exc)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _lose(self, exc: Exception) -> None:
        if not self._is_lost:  # said once an outage, not once a try
            logger.warning("event stream: no Redis (%s); trying until it is back", type(exc).__name__)
            self._is_lost = True
            self._tell(LOST)

    async def _pass_on(self, channel: PubSub) -> None:
        while True:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=None)
            if message and len(message["data"]) <= LONGEST_MESSAGE:
                self._tell(message["data"])

    def _tell(self, message: bytes) -> None:
        for reader in self._readers:
            reader.offer(message)
