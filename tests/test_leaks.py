"""The look for secrets after each test finds those that come out, and nothing else."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing

from dodaiweb import keys
from tests import leaky, real_up, scenes

READY = "ready: http://127.0.0.1:8000  user admin  password first-password-123"


def test_every_way_out_is_found_and_nothing_else():
    environment = real_up.plain_environment() | {"COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", "tests/leaky.py"]
    done = subprocess.run(command, cwd=real_up.ROOT, env=environment, capture_output=True, text=True, timeout=120)
    out = re.findall(r"^ERROR tests/leaky.py::(\w+) - Secrets came out: ", done.stdout, re.MULTILINE)
    tests = [name for name in vars(leaky) if name.startswith("test_")]
    assert sorted(out) == sorted(name for name in tests if "leaks" in name), done.stdout + done.stderr
    assert f"{len(tests)} tests were looked through" in done.stdout
    assert done.returncode == 1


def test_what_a_real_up_says_and_its_processes_are_looked_through(settings, tmp_path):
    settings.DATA = data = scenes.other_keys(tmp_path / "data")
    with closing(sqlite3.connect(data / "dodai.sqlite3")) as database, database:
        database.execute("CREATE TABLE machines_bmc (id, password_sealed)")
        sealed = keys.encrypt("c4n4ry-of-a-bmc", purpose="bmc password")
        database.execute("INSERT INTO machines_bmc VALUES (7, ?)", [sealed])
    assert real_up.leaks(data, f"{READY}\nweb | all is well", {"cmdline": b"manage.py\0up"}) == []
    found = real_up.leaks(data, f"{READY}\nweb | c4n4ry-of-a-bmc", {"environ": b"X=first-password-123"})
    assert found == ["bmc password 7 in its output", "password 0 in environ"]
