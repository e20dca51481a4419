"""Rings workers and tells pages, after the transaction has committed. Losing a ring only costs time."""

import json
import logging

import django_rq
import redis
from django.db import transaction

logger = logging.getLogger(__name__)

CHANNEL = "dodai:live"


def ring(job: str) -> None:
    """Have a worker run `job` (a dotted name, no arguments) once this transaction is committed."""
    transaction.on_commit(lambda: _ring(job))


def tell_pages(*, install: int | None = None, machine: int | None = None) -> None:
    """Have open pages fetch what changed."""
    transaction.on_commit(lambda: _publish({"install": install, "machine": machine}))


def _ring(job: str) -> None:
    try:
        django_rq.get_queue().enqueue(job, result_ttl=0, failure_ttl=3600)
    except redis.RedisError as exc:
        logger.warning("no worker could be rung (%s); the watchdog will", type(exc).__name__)


def _publish(message: dict[str, int | None]) -> None:
    try:
        django_rq.get_connection().publish(CHANNEL, json.dumps(message))
    except redis.RedisError as exc:
        logger.warning("pages could not be told (%s); they poll", type(exc).__name__)
