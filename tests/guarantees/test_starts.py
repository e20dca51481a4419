"""T1: many start on one machine at the same moment, while workers begin and work on whatever there is."""

from collections.abc import Callable
from unittest import mock

import pytest

from tests.guarantees.tally import Tally, rounds

STARTS, WORKERS = 64, 8


@pytest.mark.django_db(transaction=True)
def test_of_starts_at_once_one_wins_and_all_others_are_told_who(guarantee: Callable[..., Tally]) -> None:
    from installs import actions, jobs
    from installs.models import Install
    from tests import installing
    from tests.installs.test_races import at_once

    says = f"Of {STARTS} starts at one moment on one machine one goes on, and the others are told whose it is"
    tally, image = guarantee("T1", says), installing.make_image()

    def start(number: int) -> Install:
        return actions.start_install(machine, image, by=f"user{number}.")

    with mock.patch("installs.ramdisk.latest", return_value=installing.RAMDISK):
        for number in range(1, 1 + rounds(2, 40)):
            machine = installing.make_machine(f"node{number}", number=number)
            with tally.trial(STARTS):
                calls = [lambda n=n: start(n) for n in range(STARTS)]
                results = at_once(*calls, *[jobs.look] * WORKERS)
                winners = [result for result in results if isinstance(result, Install)]
                losers = [str(result) for result in results if isinstance(result, actions.Refused)]
                assert (len(winners), len(losers)) == (1, STARTS - 1), results
                assert all(winners[0].requested_by in words for words in losers), losers
                assert results[STARTS:] == [None] * WORKERS
                assert machine.installs.live().count() == 1
