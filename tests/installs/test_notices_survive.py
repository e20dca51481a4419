"""A worker that is killed in the middle of sending loses no notice."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils.timezone import now

from installs.models import Notice, NoticeTarget
from installs.notices import outbox
from tests import receivers

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def real_worker() -> Iterator["subprocess.Popen[bytes]"]:
    """A worker process on the database and the queue of this test."""
    database = {"DODAI_DATABASE_URL": f"sqlite://{connection.settings_dict['NAME']}"}
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "django", "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **database})
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=60)


def until(question, *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="names its database by a file")
def test_a_worker_killed_while_it_sends(queue):
    with receivers.http_receiver() as hook:
        hook.delays = [600]
        target = NoticeTarget.objects.create(name="ops", address=hook.url, is_private=True)
        with real_worker() as first:
            outbox.send_test(target, by="ada")
            until(lambda: hook.requests)
            first.kill()
            first.wait(timeout=60)
        assert Notice.objects.get().ended_at is None
        Notice.objects.update(lease_until=now() - timedelta(seconds=1))  # what 90 s would do
        with real_worker():
            outbox.ring_for_due()
            until(lambda: Notice.objects.get().is_delivered)
    assert len(hook.requests) == 2
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
