"""T36: the key of stored secrets is replaced while it is used, and the command that does it is killed anywhere."""

import errno
import inspect
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connections

from dodaiweb import doctor, keys, rotation
from dodaiweb.doctor import host
from installs.images import metadata
from installs.methods.installer import answers, variables
from installs.models import Image, ImageImport, Install, MachineKey, NoticeTarget
from machines import key_proof
from machines.models import Bmc, Credentials, InventoryUpload, KeyProof, Switch
from tests import canaries, installing, real_up, scenes
from tests.guarantees.tally import is_long, rounds
from tests.machines.bmcs import running_bmc

SEED = 36
SAYS = "Killed anywhere while the key of stored secrets is replaced, everything opens, and the next run ends it"
ROOT = Path(keys.__file__).parent.parent
FORK = multiprocessing.get_context("fork")
FILES = ("link", "replace", "unlink", "utime", "fsync")
LAST_STEPS = 12  # of a run: files and proofs, not one row more


@pytest.fixture
def data(transactional_db, settings, tmp_path) -> Path:
    """A data folder of its own: the key of the other tests stays."""
    settings.DATA = scenes.other_keys(tmp_path / "data")
    key_proof.check()
    return settings.DATA


def fill(rows: int) -> None:
    """Something sealed in every column there is, most of it passwords."""
    machine = installing.make_machine()
    machine.bmc.set_password("secret of the bmc")
    machine.bmc.save()
    target = NoticeTarget(name="hook", address="https://hook.example/")
    target.set_secret("secret of the hook")
    target.save()
    switch = Switch(name="leaf")
    switch.set_secrets({"password": "secret of the switch"})
    switch.save()
    url = "https://img.example/x?key=secret"
    ImageImport.objects.create(name="x", source=ImageImport.Source.URL, location=ImageImport.sealed(url))
    ImageImport.objects.create(name="v1.y", source=ImageImport.Source.UPLOAD, location="v1.tar.zst", state="done")
    upload = InventoryUpload(key="k", by="ada", file_name="m.csv")
    upload.set_text("secret,file")
    upload.save()
    given = keys.encrypt(json.dumps({variables.FIELD: "root: secret of the image"}), purpose=metadata.PURPOSE)
    Image.objects.create(name="debian", method="preseed", secrets_sealed=given)
    told = answers.sealed(answers.Made("secret answers", "secret commands", []))
    install = Install.objects.create(machine=machine, method="preseed", plan_digest="x", answers_sealed=told)
    pair = MachineKey(install=install)
    pair.private_key = "secret half of a pair"
    pair.save()
    made = [Credentials(name=f"c{number}", username="root") for number in range(rows)]
    for each in made:
        each.set_password(f"secret of {each.name}")
    Credentials.objects.bulk_create(made, batch_size=500)


def check_all_open(rows: int) -> None:
    """Read by this process, which saw the keys as they were at first and is told of nothing."""
    assert Bmc.objects.get().endpoint().password == "secret of the bmc"
    assert NoticeTarget.objects.get().secret == "secret of the hook"
    assert Switch.objects.get().secrets() == {"password": "secret of the switch"}
    assert {taken.place for taken in ImageImport.objects.all()} == {"https://img.example/x?key=secret", "v1.tar.zst"}
    assert InventoryUpload.objects.get().text == "secret,file"
    assert variables.of(Image.objects.get()) == {"root": "secret of the image"}
    assert answers.of_install(Install.objects.get()) == ("secret answers", "secret commands")
    assert MachineKey.objects.get().private_key == "secret half of a pair"
    found = {each.name: each.password for each in Credentials.objects.all()}
    assert found == {f"c{number}": f"secret of c{number}" for number in range(rows)}
    key_proof.check()


def rotate(*options: str) -> str:
    out = StringIO()
    call_command("rotate-key", *options, stdout=out)
    return out.getvalue()


def in_child(work: Callable[[], object]) -> int:
    """Its exit code: negative where a signal ended it."""
    connections.close_all()
    child = FORK.Process(target=work)
    child.start()
    child.join(300)
    return child.exitcode


class Steps:
    """Counts what a rotation changes outside of itself, one file or row at a time; dies before one of them."""

    def __init__(self, last: int = 0) -> None:
        self.last, self.count = last, FORK.Value("i", 0)

    def __call__(self) -> None:
        connections.close_all()
        with ExitStack() as patches:
            for owner, names in ((os, FILES), (keys, ["encrypt"]), (key_proof, ["forget_old"])):
                for name in names:
                    patches.enter_context(mock.patch.object(owner, name, self._step(getattr(owner, name))))
            rotate("--drop-now")

    def _step(self, call):
        def counted(*args, **kwargs):
            self.count.value += 1
            if self.count.value == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted


def test_t36_killed_anywhere_while_the_key_is_replaced(guarantee, data):
    tally = guarantee("T36", SAYS, seed=SEED)
    rows = rounds(300, 10_000)
    fill(rows)
    whole = Steps()
    assert in_child(whole) == 0
    check_all_open(rows)
    steps = whole.count.value
    assert steps > rows + LAST_STEPS
    for last in _moments(steps, rounds(4, 12)):
        with tally.trial():
            before = keys.prefix()
            assert in_child(Steps(last)) == -signal.SIGKILL, f"before change {last} of {steps}"
            check_all_open(rows)
            machine = Bmc.objects.get()
            machine.set_password("secret of the bmc")  # a process that goes on meanwhile
            machine.save()
            rotate("--drop-now")
            check_all_open(rows)
            _check_over(data, before)


def _moments(steps: int, some: int) -> list[int]:
    """All around the files, and some in the middle of the rows."""
    chance = random.Random(SEED)
    files = [*range(1, LAST_STEPS), *range(steps - LAST_STEPS // 2, steps + 1)]
    chosen = files if is_long() else chance.sample(files, 8)
    return chosen + [chance.randrange(LAST_STEPS, steps - LAST_STEPS) for _ in range(some)]


def _check_over(data: Path, before: str) -> None:
    assert keys.prefix() != before, "another key writes"
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data / "keys").iterdir()}
    assert names == {"secret_key": 0o600, "field_key": 0o600}
    assert KeyProof.objects.count() == 1
    stored = canaries.in_tables()
    assert not [table for table, text in stored.items() if before.encode() in text], "nothing needs the old key"
    assert keys.prefix().encode() in stored["table machines_credentials"]


@pytest.mark.parametrize("way", ["files", "rows"])
def test_t36_the_old_key_goes_only_when_nothing_needs_it(guarantee, data, way):
    tally = guarantee("T36", "The old key is kept while something needs it, and for what is being stored just then")
    fill(3)
    before, old = keys.prefix(), data / "keys" / keys.OLD
    with tally.trial():
        assert "run this again after" in rotate()
        assert keys.readers(data) == [keys.OLD] and stat.S_IMODE(old.stat().st_mode) == 0o600
        assert {finding.code for finding in doctor.run([host.key_files])} == {"keys-right", "keys-two"}
    if way == "rows":  # what a process sealed before it knew of the new key is stored only now
        with mock.patch.object(keys, "_field_key", return_value=keys._ring(data)[before[3:-1]]):
            late = Credentials(name="late", username="root")
            late.set_password("secret of late")
        late.save()
    with tally.trial():
        assert "run this again after" in rotate(), "a second run does not begin a second rotation"
        assert old.exists()
    os.utime(old, (0, time.time() - rotation.PATIENCE.total_seconds() - 1))
    with tally.trial():
        assert "The old key is gone" in rotate()
        _check_over(data, before)
        assert all(each.password == f"secret of {each.name}" for each in Credentials.objects.all())


def test_t36_what_no_key_opens_keeps_the_old_key_and_is_named(guarantee, data):
    tally = guarantee("T36", "The old key is kept while something needs it, and for what is being stored just then")
    fill(3)
    foreign = Credentials.objects.get(name="c1")
    good = foreign.password_sealed
    Credentials.objects.filter(name="c1").update(password_sealed=f"v2.00000000.{good.rpartition('.')[2]}")
    with tally.trial():
        with pytest.raises(CommandError, match=f"machines_credentials {foreign.pk}[.] Put the key file back"):
            rotate("--drop-now")
        assert keys.readers(data) == [keys.OLD]
        assert {finding.code for finding in doctor.run([host.key_files])} == {"keys-right", "keys-two", "secrets-lost"}
    Credentials.objects.filter(name="c1").update(password_sealed=good)
    with tally.trial():
        rotate("--drop-now")
        check_all_open(3)


def test_t36_every_column_that_holds_sealed_texts_is_sealed_again(data):
    """Nothing else seals anything, and nothing else is named as if it were sealed."""
    sealing = {path for path in map(str, ROOT.glob("[dmil]*/**/*.py")) if "keys.encrypt(" in Path(path).read_text()}
    models = {column.model for column in rotation.COLUMNS}
    elsewhere = {Install: answers, Image: metadata}  # their models keep what others seal
    places = [elsewhere.get(model, model) for model in models]
    assert sealing == {inspect.getfile(each) for each in [*places, key_proof, rotation]}
    named = {(model, column.name) for model in apps.get_models() for column in model._meta.fields
             if "sealed" in column.name}  # fmt: skip
    listed = {(column.model, column.name) for column in rotation.COLUMNS}
    assert named - {(KeyProof, "sealed")} == listed - {(ImageImport, "location")}
    fill(1)
    holding = {table for table, text in canaries.in_tables().items() if keys.prefix().encode() in text}
    assert holding == {f"table {model._meta.db_table}" for model in models | {KeyProof}}


def test_t36_what_the_first_version_stored_opens_and_gets_its_key(data):
    fill(2)
    for each in Credentials.objects.all():
        Credentials.objects.filter(pk=each.pk).update(password_sealed="v1." + each.password_sealed.rpartition(".")[2])
    check_all_open(2)
    rotate("--drop-now")
    check_all_open(2)
    assert not Credentials.objects.filter(password_sealed__startswith="v1.").exists()


def test_a_prepared_key_reads_on_other_hosts_before_it_writes(data, settings, tmp_path):
    fill(2)
    before = keys.prefix()
    assert "Copy keys/" in rotate("--prepare")
    assert keys.prefix() == before
    other = tmp_path / "other" / "keys"
    other.mkdir(parents=True)
    for path in (data / "keys").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    rotate()
    settings.DATA = other.parent
    check_all_open(2)
    settings.DATA = data
    with pytest.raises(CommandError, match="not over"):
        rotate("--prepare")


def test_a_host_that_only_has_the_old_key_is_stopped(data, settings, tmp_path):
    old = scenes.other_keys(tmp_path / "old")
    (old / "keys" / "field_key").write_bytes((data / "keys" / "field_key").read_bytes())
    rotate()
    settings.DATA = old
    with pytest.raises(keys.KeyProblem, match="put the right key file back"):
        key_proof.check()


def test_a_folder_that_cannot_be_written_is_named(data, monkeypatch):
    monkeypatch.setattr(os, "link", mock.Mock(side_effect=OSError(errno.EROFS, "Read-only file system", "keys/x")))
    with pytest.raises(CommandError, match=r"keys/x: Read-only file system\. .* run this again"):
        rotate()


def test_two_rotations_at_once_are_one(data):
    with rotation._alone(), pytest.raises(CommandError, match="Another rotation"):
        rotate()
    assert keys.readers(data) == []


def test_t36_passwords_are_set_while_the_key_is_replaced(guarantee, data):
    """Another process sets them all the time, and reads them back."""
    tally = guarantee("T36", "Passwords that are set while the key is replaced are stored and open afterwards")
    fill(50)
    set_count = FORK.Value("i", 0)
    over = FORK.Event()
    connections.close_all()
    writer = FORK.Process(target=_set_passwords, args=(set_count, over))
    writer.start()
    try:
        for _ in range(rounds(3, 30)):
            with tally.trial():
                rotate()
                _wait_for_more(set_count)
                os.utime(data / "keys" / keys.OLD, (0, 0))
                assert "The old key is gone" in rotate()
    finally:
        over.set()
        writer.join(120)
    assert writer.exitcode == 0
    check_all_open(50)


def _set_passwords(set_count, over) -> None:
    chance = random.Random(SEED)
    while not over.is_set():
        each = Credentials.objects.get(name=f"c{chance.randrange(50)}")
        assert each.password == f"secret of {each.name}"
        each.set_password(f"secret of {each.name}")
        each.save()
        set_count.value += 1


def _wait_for_more(set_count) -> None:
    """What was being stored when the key changed has been; and one more."""
    began, end = set_count.value, time.monotonic() + 120
    while set_count.value < began + 2:
        assert time.monotonic() < end, "the writer stands still"
        time.sleep(0.01)


@pytest.mark.real_up
def test_t36_the_key_is_replaced_while_a_real_dodai_runs(guarantee, tmp_path):
    """Each of its processes read the keys when it started; pages store, workers and the poll read."""
    tally = guarantee(
        "T36", "The key of stored secrets is replaced under a running `up`, which goes on with the new one"
    )
    with running_bmc() as (_, endpoint), real_up.Up(tmp_path / "data") as up:
        ready = up.wait_ready()
        pages = real_up.Pages(ready)
        _import(pages, f"n1,ipmi,127.0.0.1,{endpoint.port},{endpoint.username},{endpoint.password}")
        with tally.trial():
            _switch(pages, up, "n1", "on")
        before = _sealed(up)["n1"].split(".")[1]
        assert "1 values were sealed again" in up.manage("rotate-key")
        with tally.trial(2):
            _switch(pages, up, "n1", "off")
            _import(pages, "n2,ipmi,127.0.0.2,623,root,secret of n2")
        with tally.trial(2):
            names = {sealed.split(".")[1] for sealed in _sealed(up).values()}
            assert len(_sealed(up)) == 2 and len(names) == 1 and names != {before}


def _import(pages: real_up.Pages, line: str) -> None:
    pages.import_machines("name,bmc_driver,bmc_host,bmc_port,bmc_username,bmc_password", line)


def _switch(pages: real_up.Pages, up: real_up.Up, name: str, action: str) -> None:
    """Raises AssertionError unless the BMC did it: its password was read."""
    pages.post(f"/machines/{name}/power/", data={"action": action})
    command = "SELECT state FROM machines_powercommand WHERE action = ? AND ended_at IS NOT NULL"
    end = time.monotonic() + 120
    while not (found := _ask(up, command, action)):
        assert time.monotonic() < end, f"{action} of {name} does not end:\n{up.output}"
        time.sleep(0.1)
    assert found == [("done",)], _ask(up, "SELECT message FROM machines_powercommand")


def _sealed(up: real_up.Up) -> dict[str, str]:
    """What is stored as the passwords of the machines' BMCs."""
    rows = "SELECT name, password_sealed FROM machines_bmc JOIN machines_machine m ON m.id = machine_id"
    return dict(_ask(up, rows))


def _ask(up: real_up.Up, question: str, *values: str) -> list[tuple]:
    with closing(sqlite3.connect(up.data / "dodai.sqlite3", timeout=20)) as database:
        return database.execute(question, values).fetchall()
