"""T33: what tests/leaks.py looked for after each test that was run before this one, which is the last by its name."""

import pytest

from tests.leaks import Leaks


def test_t33_no_test_before_this_one_let_a_secret_out(guarantee, request: pytest.FixtureRequest):
    tally = guarantee("T33", "After each test, no secret that it used is in what was logged or printed, nor in Valkey")
    (leaks,) = [each for each in request.config.pluginmanager.get_plugins() if isinstance(each, Leaks)]
    with tally.trial(leaks.tests):
        assert leaks.finds == 0
