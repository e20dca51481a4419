# ruff: noqa: F811 - fixtures are imported, and named again where they are wanted
"""The faults of dodai-compute (2012) in its engine: D1 to D6 and D15.

Those of its scripts and of its BMC calls are in test_dodai_script_faults.py.
"""

import itertools
import random
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils.timezone import now

from installs import actions, flow, sweep
from installs.lifecycle import ENDED, State
from installs.methods import METHODS
from installs.models import Install
from machines import upkeep
from machines.acting import Actor, acting
from machines.models import Cluster, Machine, Switch, Vlan
from machines.network import fake as fake_network
from machines.power import fake
from tests import installing
from tests.guarantees.tally import rounds
from tests.installs.conftest import (  # noqa: F401 - fixtures
    _listener,
    _ramdisk_is_built,
    fake_power,
    machine,
    server,
    steps,
)

pytestmark = pytest.mark.django_db
SEED = 20121113
EVENTS = ("install", "install_reboot", "installed")


def fresh(install: Install) -> Install:
    return Install.objects.get(pk=install.pk)


def row(install: Install) -> dict:
    return Install.objects.filter(pk=install.pk).values().get() | {"events": install.events.count()}


def data_files() -> set[str]:
    return {str(path) for path in settings.DATA.rglob("*") if not path.name.startswith("test.sqlite3")}


def until_ended(install: Install, steps) -> Install:
    """Let time pass: everything that is waited for comes at once."""
    for _ in range(20):
        Install.objects.filter(pk=install.pk).update(look_again_at=now() - timedelta(seconds=1))
        sweep.sweep()
        steps()
        if fresh(install).state in ENDED:
            break
    return fresh(install)


def test_d1_a_state_cannot_be_reported_by_who_knows_an_address(guarantee, server, machine, steps):
    """dodai: GET /<id>/<state> moved an install and wrote a file named by the path."""
    tally = guarantee("D1", "Nobody moves an install, or writes a file, by an address without its token")
    install = installing.start(machine)
    steps()
    assert server.boot()
    before, files = row(install), data_files()
    names = (*EVENTS, "failed", "progress", "log", "create", "..", "%2e%2e", "../../keys/secret_key")
    paths = [f"/{first}/{name}" for first in (install.pk, "event", "..", "instances", machine.name) for name in names]
    guessed = [f"/first-boot/{value}" for value in (install.pk, machine.name, "", "a" * 43, "../x")]
    for path, method in itertools.product([*paths, *guessed, "/grant"], ("get", "post", "put", "delete", "head")):
        for shown in ({}, {"Authorization": f"Bearer {install.pk}"}, {"Authorization": f"Bearer {'a' * 43}"}):
            with tally.trial():
                assert getattr(server.client, method)(path, headers=shown).status_code in (404, 405), (method, path)
    with tally.trial():
        assert (row(install), data_files()) == (before, files)


EFFECTS = [name for name in METHODS["file-tree"].steps if name not in METHODS["file-tree"].waits]


@pytest.fixture
def cabled(machine):
    """So that there are steps which move its port."""
    vlan = Vlan.objects.create(vid=210, name="web")
    Machine.objects.update(cluster=Cluster.objects.create(name="web", vlan=vlan))
    tor = Switch.objects.create(name="tor", driver="fake", vlans="210", ports="p1")
    machine.interfaces.create(mac="52:54:00:0f:00:01", switch=tor, switch_port="p1")
    fake_network.forget()
    yield
    fake_network.forget()


@pytest.mark.parametrize("when", ["_work_on", "_store"], ids=["before-its-effect", "after-it"])
def test_d2_an_install_whose_worker_died_in_any_step_goes_on(
    guarantee, server, machine, cabled, steps, monkeypatch, when
):
    """dodai: one thread an install; when it died the row said `processing` for ever."""
    tally = guarantee("D2", "A worker that dies in any step, before or after its effect, strands no install")
    for name in EFFECTS:
        with tally.trial():
            install = installing.start(machine)
            flow.begin_next()
            granted = _until(install, server, name)
            with monkeypatch.context() as dying:
                dying.setattr(flow, when, lambda *_: None)
                assert flow.run_due(), name
            assert not flow.run_due(), "the lease still holds"
            Install.objects.filter(pk=install.pk).update(lease_until=now() - timedelta(seconds=1))
            sweep.sweep()
            _until(install, server, "", granted)
            assert fresh(install).state == State.INSTALLED, name
        Machine.objects.update(state="free", image_name="")
        fake.forget()  # it is off again


def _until(install: Install, server: installing.Server, step: str, granted: str = "") -> str:
    """Work and report as a machine does, until that step is about to be done, or to the end; the write grant."""
    while (here := fresh(install)).is_live:
        name = METHODS[here.method].steps[here.step]
        if name == step:
            break
        if here.state == State.RUNNING:
            assert flow.run_due(), name
        elif name == "netboot":
            assert server.boot()
            server.say("install")
        elif name == "copy":
            granted = server.ask_grant()
            server.say("install_reboot")
        else:
            _report(server, "installed", granted)
    return granted


@pytest.mark.parametrize("wait", METHODS["file-tree"].waits)
def test_d2_a_machine_that_falls_silent_ends_its_install(guarantee, server, machine, steps, wait):
    tally = guarantee("D2", "Silence in any wait ends the install")
    with tally.trial():
        install = installing.start(machine)
        flow.begin_next()
        _until(install, server, wait)
        steps()
        Install.objects.filter(pk=install.pk).update(quiet_until=now() - timedelta(seconds=1))
        sweep.sweep()
        # Some have a last look then, whose time passes too.
        looked = Install.objects.filter(pk=install.pk, state=State.RUNNING)
        looked.update(give_up_at=now() - timedelta(seconds=1))
        assert until_ended(install, steps).state == State.FAILED


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids="-".join)
def test_d3_a_later_report_that_arrives_first_is_not_lost(guarantee, server, machine, steps, order):
    """dodai: a file held the newest state only; one that was overwritten between two looks was waited for for ever."""
    tally = guarantee("D3", "In whatever order a machine's reports arrive, and however often, the end is the true one")
    for often in range(1, rounds(3, 6)):
        with tally.trial():
            install = installing.start(machine)
            steps()
            assert server.boot()
            granted = server.ask_grant()
            for name in order:
                for _ in range(often):
                    assert _report(server, name, granted) in (200, 410)
            steps()
            assert fresh(install).state == State.INSTALLED
            Machine.objects.update(state="free", image_name="")
            fake.forget()


def _report(server: installing.Server, name: str, granted: str) -> int:
    if name == "installed":
        url = granted.partition("DODAI_FIRST_BOOT_URL=")[2].split()[0].strip("'")
        return server.client.post("/first-boot/" + url.rpartition("/")[2]).status_code
    return server.client.post(f"/event/{name}", "{}", "application/json", headers=server._headers()).status_code


@pytest.mark.parametrize("database", ["as it is", "restored"])
def test_d4_nothing_of_an_earlier_attempt_speaks_for_a_later_one(guarantee, server, machine, steps, database):
    """dodai: the state file of an earlier try stayed; a restored database gave its number to another install."""
    tally = guarantee("D4", "Tokens of an earlier attempt move no later one, not even one of the same number")
    first = installing.start(machine)
    steps()
    unused = server.ask_boot().partition("/script/")[2].split()[0]
    assert server.boot()
    granted, old_boot_id = server.ask_grant(), server.boot_id
    actions.cancel(first, by="tester")
    until_ended(first, steps)
    if database == "restored":
        _forget_installs()
    second = installing.start(machine)
    steps()
    assert (second.pk == first.pk) == (database == "restored")
    before = row(second)
    for name in ("install", "install_reboot", "progress", "failed", "log", "grant"):
        path = "/grant" if name == "grant" else f"/event/{name}"
        with tally.trial():
            answer = server.client.post(path, "{}", "application/json", headers=server._headers())
            assert answer.status_code in (404, 410) or (name == "grant" and answer.status_code == 400), name
    first_boot = re.search(r"/first-boot/([\w-]{43})", granted)[0]
    for path in (f"/script/{unused}", first_boot):
        with tally.trial():
            answer = server.client.post(path, {"boot_id": old_boot_id})
            is_noted_late = path == first_boot and answer.content == b'{"result": "late"}'  # of the first attempt
            assert answer.status_code == 404 or (is_noted_late and database == "as it is")
    with tally.trial():
        assert row(second) == before


def _forget_installs() -> None:
    """As a database of before they were made: their numbers are given once more."""
    first = Install.objects.earliest("pk").pk
    Install.objects.all().delete()
    table = Install._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = %s", [first - 1, table])
        else:
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)", [table, first])
    Machine.objects.update(handled_by="", state="free")


@pytest.mark.parametrize("said", ["install_reboot", "installed", "cancelled"])
def test_d5_a_machine_is_not_installed_again_when_nobody_is_left_to_note_its_end(
    guarantee, server, machine, steps, said
):
    """dodai: the boot file said `create` until a process changed it; where that died, each reboot wiped the machine."""
    tally = guarantee("D5", "From the last report on, every network boot leads to the disk, without any worker alive")
    install = installing.start(machine)
    steps()
    assert server.boot()
    granted = server.ask_grant()
    if said == "cancelled":
        actions.cancel(install, by="tester")
    else:
        assert _report(server, said, granted) == 200
    mac = server.mac
    questions = [
        ("/boot.ipxe", {"mac": mac}), ("/boot.ipxe", {"mac": mac.upper().replace(":", "-"), "platform": "efi"}),
        (f"/pxelinux.cfg/01-{mac.replace(':', '-')}", {}), (f"/grub/{mac}", {}),
    ]  # fmt: skip
    for path, question in questions * rounds(5, 250):
        with tally.trial():
            answer = server.client.get(path, question).content.decode()
            assert "dodai_script" not in answer and "vmlinuz" not in answer


def test_d6_a_boot_answer_is_whole_and_no_file(guarantee, server, machine, steps):
    """dodai: a boot file was written in place and never closed; TFTP could serve half of it."""
    tally = guarantee(
        "D6", "Each boot answer is whole, is computed when asked for, and leaves no file that could be torn", seed=SEED
    )
    files = data_files()
    chance = random.Random(SEED)
    local = server.client.get("/boot.ipxe", {"mac": server.mac}).content.decode()
    moves = [lambda: installing.start(machine), steps, server.boot, lambda: server.say("install")]
    for move in moves:
        move()
        for _ in range(chance.randint(1, rounds(10, 500))):
            with tally.trial():
                answer = server.client.get("/boot.ipxe", {"mac": server.mac})
                text = answer.content.decode()
                assert (int(answer["Content-Length"]), answer["Cache-Control"]) == (len(answer.content), "no-store")
                assert text.startswith("#!ipxe\n") and text.endswith(local.removeprefix("#!ipxe\n"))
    assert data_files() - files <= {str(settings.DATA / "images"), str(settings.DATA / "images" / installing.DIGEST)}


NAMES = ("1 or 1=1", "node1' or '1'='1", "node1; drop table machines_machine", "%", "*", "", "--all", "1", "../node1")


def test_d15_a_machine_is_reset_by_name_with_a_record_of_who_did_it(guarantee, machine, steps):
    """dodai: `mysql -uroot -p... where id=$1` reset a row, or all of them, and nobody knew who had."""
    tally = guarantee("D15", "Commands take one machine by its name or nothing, and each change names who made it")
    installing.start(machine)
    other = installing.start(installing.make_machine("node2", number=2))
    steps()
    before = list(Install.objects.order_by("pk").values()), list(Machine.objects.order_by("pk").values())
    for name, command in itertools.product(NAMES, (["cancel"], ["inspect"], ["power"], ["install"])):
        rest = {"power": ["off"], "install": ["debian", "--yes"]}.get(command[0], [])
        with tally.trial():
            with pytest.raises((CommandError, SystemExit)):
                call_command(*command, "--", name, *rest, stdout=StringIO())
            assert (
                list(Install.objects.order_by("pk").values()),
                list(Machine.objects.order_by("pk").values()),
            ) == before
    with tally.trial():
        call_command("cancel", "--", "node2", stdout=StringIO())
        assert other.events.filter(by__endswith="(command line)").exists()
    with tally.trial(), acting(lambda: Actor("ada", None)):
        upkeep.protect(machine, protected=True)
        assert machine.history.filter(history_by="ada", history_changes__has_key="protected").exists()
