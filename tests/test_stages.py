"""What `manage.py test` makes of its stages, and the PostgreSQL it starts."""

import os
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from dodaiweb.management.commands.test import Command
from dodaiweb.testing import needs, postgres, stages
from dodaiweb.testing.stages import Stage
from tests.real_up import is_gone


def test_a_stage_that_is_well_has_no_problem():
    assert stages.run(Stage("fine", ("-c", "pass"))).problem == ""


def test_a_stage_that_fails_is_named_with_its_exit_code():
    assert stages.run(Stage("bad", ("-c", "raise SystemExit(3)"))).problem == "exit code 3"


def test_pytest_without_a_test_is_a_failure(tmp_path):
    arguments = ("-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={tmp_path}", str(tmp_path))
    assert stages.run(Stage("empty", arguments)).problem == "ran no test"


def test_a_stage_that_never_ends_is_ended_with_all_it_started(tmp_path):
    start = "import subprocess; p = subprocess.Popen(['sleep', '333'])"
    code = f"{start}; open('{tmp_path}/pid', 'w').write(str(p.pid)); p.wait()"
    limit, pid = 1, tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):  # on a busy computer it needs longer to begin
        limit *= 2
        result = stages.run(Stage("endless", ("-c", code), limit_seconds=limit))
        assert result.problem == f"not done after {limit} s"
    assert is_gone(int(pid.read_text()))


def test_what_a_stage_leaves_of_its_time_the_next_ones_may_have():
    quick = Stage("quick", ("-c", "pass"), limit_seconds=600)
    slow = Stage("slow", ("-c", "import time; time.sleep(3)"), limit_seconds=1)
    late = Stage("late", ("-c", "import time; time.sleep(60)"), limit_seconds=1)
    said: list[int] = []
    problems = [result.problem for result in stages.run_all([quick, slow], lambda number, stage: said.append(number))]
    assert (problems, said) == (["", ""], [1, 2])
    assert [result.problem for result in stages.run_all([late], lambda *_: None)] == ["not done after 1 s"]
    assert stages.run(slow).problem == "not done after 1 s", "alone it has its own time and no more"


def test_a_database_that_does_not_start_is_the_stages_problem():
    @contextmanager
    def broken():
        raise postgres.PostgresProblem("initdb failed: disk full")
        yield {}

    assert stages.run(Stage("on it", ("-c", "pass"), environment=broken)).problem == "initdb failed: disk full"


def test_all_stages_run_and_the_end_says_which_failed(monkeypatch, capsys):
    table = [Stage("one", ("-c", "raise SystemExit(1)")), Stage("two", ("-c", "pass"))]
    monkeypatch.setattr(stages, "chosen", lambda **_: table)
    monkeypatch.setattr(needs, "install_missing", lambda: True)
    with pytest.raises(SystemExit) as ending:
        Command().handle(fast=False)
    assert ending.value.code
    said = capsys.readouterr().out
    assert "2/2 two" in said
    assert said.splitlines()[-1].endswith("FAILED: one")


def test_fast_leaves_out_what_takes_minutes():
    names = [stage.name for stage in stages.chosen(fast=True, pytest_arguments=[])]
    assert {"tests on SQLite", "guarantees on SQLite"} <= set(names)
    assert not {"tests on PostgreSQL", "guarantees on PostgreSQL", "lab", "browser"} & set(names)


def test_arguments_of_pytest_run_just_pytest():
    (stage,) = stages.chosen(fast=False, pytest_arguments=["tests/test_x.py", "-k", "words"])
    assert stage.command == ("-m", "pytest", "tests/test_x.py", "-k", "words")


def test_the_limits_of_all_stages_are_below_ci_time():
    assert stages.limits(stages.STAGES) < 90 * 60


def test_stages_beside_each_other_run_at_once_and_each_has_its_words_and_its_end(tmp_path, capfd):
    """Each waits for the other's file: one after another they would never end."""

    def waits_for(other: str, own: str, code: int) -> tuple[str, str]:
        wait = f"while not os.path.exists('{tmp_path}/{other}'): time.sleep(0.05)"
        return (
            "-c",
            f"import os, time, sys\nopen('{tmp_path}/{own}', 'w')\n{wait}\nprint('{own} ran')\nsys.exit({code})",
        )

    one = Stage("one", waits_for("second", "first", 0), limit_seconds=60)
    two = Stage("two", waits_for("first", "second", 3), limit_seconds=60, is_beside=True)
    results = stages.run_all([one, two, Stage("three", ("-c", "print('third ran')"))], lambda *_: None)
    assert [result.problem for result in results] == ["", "exit code 3", ""]
    assert capfd.readouterr().out.split("\n") == ["first ran", "second ran", "third ran", ""]


def test_a_database_that_does_not_start_stops_no_stage_beside_it():
    @contextmanager
    def broken():
        raise postgres.PostgresProblem("disk full")
        yield {}

    one, two = Stage("one", ("-c", "pass")), Stage("two", ("-c", "pass"), is_beside=True, environment=broken)
    assert [result.problem for result in stages.run_all([one, two], lambda *_: None)] == ["", "disk full"]


@pytest.mark.skipif(not postgres.programs(), reason="Debian's postgresql is not there")
def test_a_cluster_serves_on_a_socket_and_is_gone_afterwards():
    with postgres.cluster() as url:
        folder = url.partition("host=")[2]
        with psycopg.connect(host=folder, user="dodai", dbname="postgres") as connection:
            (addresses,) = connection.execute("show listen_addresses").fetchone()
        server = int(Path(folder, "data", "postmaster.pid").read_text().split()[0])
    assert addresses == ""
    assert is_gone(server)
    assert not os.path.exists(folder)
