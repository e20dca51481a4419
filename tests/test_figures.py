"""The table of docs/guarantees.md: its arithmetic, that nobody edits it, and what the long form does and says."""

import math
import os
from dataclasses import replace

import pytest

from dodaiweb.testing import figures, guarantees
from dodaiweb.testing.figures import Figure
from dodaiweb.testing.guarantees import FOLDER, GuaranteesProblem, Told

ONE = Figure("T5", "Nothing is wiped", "tests/test_figures.py::test_a", 1000, 0, 7, 61.2, "SQLite", "Python 3.11, abc")


def test_the_page_has_the_table_that_the_kept_counts_make():
    page = figures.PAGE.read_text()
    assert page == figures.with_table(page, figures.read()), "python3 manage.py test --guarantees writes the table"


def test_a_figure_typed_by_hand_is_noticed():
    page = figures.with_table(f"before\n{figures.BEGIN}\n{figures.END}\nafter", [ONE])
    assert figures.with_table(page.replace("1,000", "9,000"), [ONE]) == page


@pytest.mark.parametrize(
    ("trials", "failures", "expected"),
    # 3/n; the others solve P(X <= failures) = 0.05: in closed form for n - 1 of n, by tables of the binomial else.
    [
        (1000, 0, 0.003),
        (1, 0, 1.0),
        (0, 0, 1.0),
        (5, 5, 1.0),
        (2, 1, math.sqrt(0.95)),
        (10, 1, 0.3942),
        (100, 5, 0.1023),
    ],
)
def test_the_bound(trials: int, failures: int, expected: float):
    assert figures.bound(trials, failures) == pytest.approx(expected, abs=1e-4)


def test_the_bound_holds_for_a_million_trials():
    assert figures.bound(1_000_000, 1) == pytest.approx(4.7439e-6, rel=1e-4)  # Poisson's: 4.7439 in n


def test_tests_of_one_claim_are_one_line_per_database_and_run():
    other = replace(ONE, test="tests/test_figures.py::test_b", failures=1, seed=9)
    [line] = figures.table([ONE, other]).splitlines()[2:]
    assert line == "| T5 | Nothing is wiped | 2,000 | 1 | 0.002 | 7, 9 | 2 min | SQLite; Python 3.11, abc |"
    assert len(figures.table([ONE, replace(ONE, stage="lab")]).splitlines()) == 4


def test_what_was_counted_anew_takes_the_place_of_the_old():
    new = replace(ONE, trials=5)
    assert figures.merged([ONE], [new], found={"SQLite": {ONE.test}}) == [new]


def test_what_was_not_run_again_stays_with_its_own_day():
    elsewhere = replace(ONE, stage="lab")
    assert figures.merged([ONE, elsewhere], [], found={"SQLite": {ONE.test}}) == [ONE, elsewhere]


@pytest.mark.parametrize(
    "test", ["tests/test_figures.py::test_renamed", "tests/guarantees/test_that_is_gone.py::test_a"]
)
def test_a_test_that_is_gone_loses_its_line(test: str):
    assert figures.merged([replace(ONE, test=test)], [], found={"SQLite": {ONE.test}}) == []


def test_a_page_without_its_marks_is_refused_before_anything_is_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="both marks"):
        figures.write([ONE], page=page, kept=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_an_unknown_claim_is_refused_with_those_there_are():
    with pytest.raises(GuaranteesProblem, match=r"No test counts trials of T999\. There are: "):
        guarantees.files_of(["T999"])
    with pytest.raises(GuaranteesProblem, match="named like T5"):
        guarantees.files_of(["tests/test_x.py"])


@pytest.fixture
def long_form(tmp_path, monkeypatch):
    """A folder of claims of its own, run for real."""
    monkeypatch.setattr(figures, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(figures, "KEPT", tmp_path / "kept.jsonl")
    monkeypatch.setattr(guarantees, "_STAGES", guarantees._STAGES[:1])
    figures.PAGE.write_text(f"{figures.BEGIN}\n{figures.END}\n")
    # Its name does not begin with test_: only who names the file runs it.
    file = FOLDER / f"once_{os.getpid()}.py"

    def run(text: str, *claims: str, minutes: float = 2) -> tuple[bool, str]:
        file.write_text(text)
        monkeypatch.setattr(guarantees, "files_of", lambda _: [str(file)])
        said: list[str] = []
        return guarantees.run(claims, minutes=minutes, say=said.append), "\n".join(said)

    yield run
    file.unlink(missing_ok=True)


WELL = """
from tests.guarantees.tally import rounds
def test_one(guarantee):
    tally = guarantee("T901", "One", seed=3)
    for _ in range(rounds(1, 20)):
        with tally.trial(): pass
def test_two(guarantee):
    with guarantee("T902", "Two").trial(): assert {two}
"""


def test_the_long_form_runs_and_writes(long_form):
    is_well, said = long_form(WELL.format(two="1 == 2"))
    assert not is_well
    assert "21 trials, 1 failed" in said
    assert "::test_two\n" in said and "E       assert 1 == 2" in said, "what went wrong is said at the end"
    assert [(f.claim, f.trials, f.failures, f.seed) for f in figures.read(figures.KEPT)] == [
        ("T901", 20, 0, 3), ("T902", 1, 1, None)]  # fmt: skip
    assert "| T901 | One | 20 | 0 | 0.1 | 3 |" in figures.PAGE.read_text()


def test_a_chosen_claim_runs_alone_and_leaves_the_others_lines(long_form):
    assert long_form(WELL.format(two="True"))[0]
    assert long_form(WELL.format(two="1 == 2"), "T901")[0]
    assert [(f.claim, f.failures) for f in figures.read(figures.KEPT)] == [("T901", 0), ("T902", 0)]


def test_what_there_was_no_time_for_is_said_and_counts_nothing(long_form):
    at_its_limit = "__import__('signal').raise_signal(2)"  # what a stage does at its limit
    is_well, said = long_form(WELL.format(two=at_its_limit))
    assert not is_well
    assert "not run to its end" in said and "test_two" in said
    assert [figure.claim for figure in figures.read(figures.KEPT)] == ["T901"]


FILLS = """
import os, pytest, time
from tests.guarantees import tally
@pytest.mark.fills_the_time
@pytest.mark.parametrize("number", [1, 2])
def test_first_in_the_file(guarantee, number):
    with guarantee(f"T90{number}", "It fills its part of the time").trial():
        left = float(os.environ[tally.UNTIL]) - float(os.environ[tally.MINE])
        assert tally.is_time_left()
        assert left > 300 if number == 1 else abs(left) < 1e-3
def test_second_in_the_file(guarantee):
    with guarantee("T903", "It comes before what fills the time").trial(): assert tally.MINE not in os.environ
"""


def test_tests_that_fill_the_time_come_last_and_share_it(long_form):
    is_well, said = long_form(FILLS, minutes=60)
    assert is_well, said
    assert [figure.claim for figure in figures.read(figures.KEPT)] == ["T901", "T902", "T903"]


def test_a_stage_that_has_no_time_is_told_and_not_begun(long_form):
    is_well, said = long_form(WELL.format(two="True"), minutes=0)
    assert not is_well
    assert "no time was left for it" in said


def test_what_the_program_wrote_itself_is_no_change_of_the_commit(monkeypatch):
    told = []
    monkeypatch.setattr(guarantees, "_git", lambda *words: told.append(words) or "")
    guarantees._commit()
    assert told[1][-2:] == (":!docs/guarantees.md", ":!docs/guarantees.jsonl")


def test_nothing_is_told_of_a_test_that_died_before_it_counted():
    told = Told("", figures=[{"test": "b"}], found={"a", "b", "c"}, chosen={"a", "b"})
    assert told.not_run == ["a"]
