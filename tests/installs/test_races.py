"""The same moment, many threads: on SQLite and on PostgreSQL."""

import json
import threading
import uuid
from collections.abc import Callable

import pytest
from django.db import connection

from installs import actions, flow, grant
from installs.models import Event, Install
from machines import facts
from machines.models import Machine
from machines.power import fake
from tests import installing

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_SECONDS = 180


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run all calls at the same moment, each in a thread with a connection of its own; results or exceptions."""
    results: list[object] = [None] * len(calls)
    line = threading.Barrier(len(calls))

    def run(number: int, call: Callable[[], object]) -> None:
        line.wait(PATIENCE_SECONDS)
        try:
            results[number] = call()
        except Exception as exc:  # noqa: BLE001 - the test looks at it
            results[number] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    return results


def test_of_many_starts_one_wins_and_the_others_are_told_who(machine):
    image = installing.make_image()
    results = at_once(*[lambda n=n: actions.start_install(machine, image, by=f"user{n}") for n in range(16)])
    winners = [result for result in results if isinstance(result, Install)]
    losers = [str(result) for result in results if isinstance(result, actions.Refused)]
    assert (len(winners), len(losers)) == (1, 15), results
    assert all(winners[0].requested_by in words or "moment earlier" in words for words in losers)
    assert Install.objects.live().count() == 1


def test_many_workers_do_each_step_once(machine):
    others = [installing.make_machine(f"node{number}", number=number) for number in range(2, 6)]
    for each in [machine, *others]:
        installing.start(each)
    at_once(*[flow.begin_next for _ in range(4)])

    def work() -> None:
        while flow.run_due():
            pass

    results = at_once(*[work for _ in range(8)])
    assert results == [None] * 8
    commands = [call for call in fake.calls if call[1] == "on"]
    assert sorted(name for name, _ in commands) == sorted(["node1", "node2", "node3", "node4", "node5"])
    assert set(Install.objects.values_list("awaited", flat=True)) == {"install"}


def test_of_two_boots_that_ask_at_once_one_gets_the_grant(machine, steps):
    install = installing.start(machine)
    steps()
    servers = [installing.Server(machine) for _ in range(2)]
    assert all(server.boot() for server in servers)
    asked = []
    for server in servers:
        found = facts.parse(installing.facts_of(machine, server.boot_id))
        boot = install.boots.get(boot_id=server.boot_id)
        asked.append(lambda boot=boot, found=found: grant.ask(boot, found, found.disks[0]))
    results = at_once(*(asked * 4))
    granted = [result for result in results if isinstance(result, grant.Granted)]
    assert all(isinstance(result, (grant.Granted, grant.Refused)) for result in results), results
    winner = Install.objects.get(pk=install.pk).granted_boot_id
    assert len(granted) == 4, "the same boot may ask again, the other never gets it"
    assert winner in {server.boot_id for server in servers}


def test_a_cancel_and_a_grant_at_once_never_leave_a_writer(machine, steps):
    """Whoever is first: a granted machine that was cancelled is switched off before the attempt ends."""
    for _ in range(5):
        install = installing.start(machine)
        steps()
        server = installing.Server(machine)
        assert server.boot()
        found = facts.parse(installing.facts_of(machine, server.boot_id))
        boot = install.boots.get(boot_id=server.boot_id)
        fake.calls.clear()
        results = at_once(
            lambda install=install: actions.cancel(install, by="x"),
            lambda boot=boot, found=found: grant.ask(boot, found, found.disks[0]),
        )
        assert not any(isinstance(result, Exception) for result in results), results
        fresh = Install.objects.get(pk=install.pk)
        assert fresh.state == "stopping"
        assert fresh.power_off_to_stop
        while flow.run_due():
            Install.objects.update(look_again_at=None)
        assert Install.objects.get(pk=install.pk).state == "cancelled"
        assert fake.states.get("node1", "off") == "off"


def test_the_same_event_from_many_threads_is_applied_once(machine, steps):
    install = installing.start(machine)
    steps()
    server = installing.Server(machine)
    server.boot()
    headers = {"Authorization": f"Bearer {server.token}"}

    def say() -> str:
        response = server.client.post("/event/install", json.dumps({}), "application/json", headers=headers)
        return str(response.json()["result"])

    results = at_once(*[say for _ in range(8)])
    assert sorted(map(str, results)) == ["applied"] + ["duplicate"] * 7
    assert install.events.filter(kind=Event.Kind.MACHINE, name="install").count() == 1


def test_two_machines_cannot_take_one_serial_number_at_once(machine):
    found = facts.parse({"serial": "SAME", "uuid": str(uuid.uuid4())})
    new = [Machine.objects.create(name=f"new{number}", site=machine.site) for number in range(2)]
    from machines import actions as machine_actions

    at_once(*[lambda each=each: machine_actions.apply_facts(each, found) for each in new])
    assert Machine.objects.filter(serial="SAME").count() == 1
