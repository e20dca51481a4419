"""What pages are told, over a real Valkey."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from machines import doorbell

TOLD_IN_SECONDS = 30


@pytest.fixture
def told() -> Iterator[Any]:
    with doorbell._connection().pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(doorbell.CHANNEL)
        channel.get_message(timeout=TOLD_IN_SECONDS)  # that it has begun

        def read() -> list[int]:
            end, numbers = time.monotonic() + TOLD_IN_SECONDS, []
            while 0 not in numbers and time.monotonic() < end:
                if message := channel.get_message(timeout=1):
                    numbers.append(json.loads(message["data"])["install"])
            return numbers

        yield read


@pytest.mark.django_db(transaction=True)
def test_what_is_said_many_times_in_a_moment_is_told_once_and_nothing_is_left_out(told):
    for _ in range(50):
        for number in (1, 2, 3):
            doorbell.tell_pages_soon(install=number, machine=number)
    doorbell.tell_pages_soon(install=0, machine=0)
    numbers = told()
    assert set(numbers) == {0, 1, 2, 3}
    assert len(numbers) < 50


@pytest.mark.django_db(transaction=True)
def test_what_changes_after_it_was_told_is_told_again(told):
    for _ in range(2):
        doorbell.tell_pages_soon(install=0, machine=0)
        assert told() == [0]
