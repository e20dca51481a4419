"""Rings workers and tells pages, after the transaction has committed. Losing a ring only costs time."""

import json
import logging
import threading
import time
from collections.abc import Callable
from functools import cache

import django_rq
import redis
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

CHANNEL = "dodai:live"
WAIT_SECONDS = 2.0  # for a Valkey that is there and does not answer
PAUSE_SECONDS = 10.0  # until it is tried again after that: each step rings and tells many times
GATHER_SECONDS = 0.1  # what changes every second is told so often, together
_RETRY = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))  # not where nobody answers in time
_mute_until = 0.0


def ring(job: str) -> None:
    """Have a worker run `job` (a dotted name, no arguments) once this transaction is committed."""
    transaction.on_commit(lambda: _ring(job))


def tell_pages(*, install: int | None = None, machine: int | None = None) -> None:
    """Have open pages fetch what changed."""
    transaction.on_commit(lambda: _publish({"install": install, "machine": machine}))


def tell_pages_soon(*, install: int, machine: int) -> None:
    """The same for what many machines say every second: gathered, and told by a thread, so that none of them waits."""
    transaction.on_commit(lambda: _gathered.add({"install": install, "machine": machine}))


def _ring(job: str) -> None:
    def enqueue(client: redis.Redis) -> None:
        django_rq.get_queue(connection=client).enqueue(job, result_ttl=0, failure_ttl=3600)

    _say(enqueue, "no worker could be rung (%s); the watchdog will")


def _publish(*messages: dict[str, int | None]) -> None:
    def publish(client: redis.Redis) -> None:
        with client.pipeline(transaction=False) as together:
            for message in messages:
                together.publish(CHANNEL, json.dumps(message))
            together.execute()

    _say(publish, "pages could not be told (%s); they poll")


def _say(words: Callable[[redis.Redis], object], complaint: str) -> None:
    """Never waits for long, and never raises: whoever rings has done its work already."""
    global _mute_until
    if time.monotonic() < _mute_until:
        return
    try:
        words(_connection())
    except redis.RedisError as exc:
        if isinstance(exc, redis.TimeoutError):
            _mute_until = time.monotonic() + PAUSE_SECONDS
        logger.warning(complaint, type(exc).__name__)


@cache  # connecting costs more than all else that an event does
def _connection() -> redis.Redis:
    """As the settings have it, but it gives up soon: a frozen Valkey would else hold up every event and every step."""
    client: redis.Redis = django_rq.get_connection()
    client.connection_pool.connection_kwargs |= {
        "socket_timeout": WAIT_SECONDS, "socket_connect_timeout": WAIT_SECONDS, "retry": _RETRY,
    }  # fmt: skip
    return client


class _Gathered:
    """Messages that a thread publishes a few times a second, each once."""

    def __init__(self) -> None:
        self._messages: list[dict[str, int | None]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, message: dict[str, int | None]) -> None:
        with self._changed:
            if message not in self._messages:
                self._messages.append(message)
                self._changed.notify()
            if self._thread is None:  # begun by the first message: a server may fork before it
                self._thread = threading.Thread(target=self._publish_for_ever, name="doorbell", daemon=True)
                self._thread.start()

    def _publish_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._messages)
            time.sleep(GATHER_SECONDS)
            with self._changed:
                messages, self._messages = self._messages, []
            _publish(*messages)


_gathered = _Gathered()
