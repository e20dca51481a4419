"""The counting itself: a failure is never lost, and nothing that was not tried is counted."""

import json
from pathlib import Path

import pytest

from tests.guarantees.tally import TABLE, Tally, rounds


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_short_form_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TABLE, raising=False)
    assert rounds(3, 9) == 3
    Tally("T0", "Nothing").close(test="x", has_failed=False)


def test_the_long_form_writes_what_was_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(TABLE, str(tmp_path / "table"))
    tally = Tally("T0", "All is well", seed=4)
    for _ in range(rounds(3, 9)):
        with tally.trial():
            pass
    with pytest.raises(ValueError, match="no"), tally.trial(5):
        raise ValueError("no")
    tally.close(test="x", has_failed=True)
    [line] = lines(tmp_path / "table")
    assert (line["claim"], line["trials"], line["failures"], line["seed"]) == ("T0", 14, 1, 4)


def test_a_failure_outside_of_the_trials_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(TABLE, str(tmp_path / "table"))
    Tally("T0", "All is well").close(test="x", has_failed=True)
    assert lines(tmp_path / "table")[0]["failures"] == 1
