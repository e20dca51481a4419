"""T17: the call of the installed OS is lost for ever. If that OS is up, the install has not failed.

Time is virtual, the SSH server that is looked at is a real listener: it says what the machine's OS says at that moment.
"""

import random
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.guarantees.tally import Tally, is_long, is_time_left, rounds

pytestmark = pytest.mark.django_db
UNTIL_THE_OS = 14  # turns of a machine and the workers, until its OS runs
MAY_STAND = 60  # seconds after its deadline
FEWEST_TRIALS = 30
PAUSES = 4  # of a worker: it has claimed, is about to connect, was told, is about to store
UP, STUCK, OFF, OLD, OLDER_ATTEMPT = "up", "stuck before its OS", "off", "old OS", "OS of an older attempt"
SAYS = "An install whose OS is up has not failed when that OS's call is lost, whoever dies; without its OS it has"


class Greets(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for part in self.server.says():  # type: ignore[attr-defined]
            self.wfile.write(part)


@contextmanager
def listening(says: Callable[[], Any]) -> Iterator[int]:
    """The port of a listener that says these parts to whoever connects."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greets) as server:
        server.says = says  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def begun(monkeypatch) -> Iterator[Callable[..., Any]]:
    """A function: a schedule whose install waits for the first word of its OS; the one before is undone."""
    from installs import witness
    from tests.guarantees import room
    from tests.guarantees.schedules import Schedule

    really, under_way = witness.greeting, list[Schedule]()
    place = SimpleNamespace(machine=None)
    with listening(lambda: [f"{place.machine.greeting()}\r\n".encode()]) as port, room.opened() as furnish:
        monkeypatch.setattr(witness, "SSH_PORT", port)
        monkeypatch.setattr(witness, "SECONDS", 30.0)  # it answers at once, but this computer may stand still

        def begin() -> Schedule:
            while under_way:
                under_way.pop().teardown()
            under_way.append(type("Schedule", (Schedule,), {"furnish": staticmethod(furnish)})())
            schedule = under_way[0]
            place.machine = schedule.room.machines[0]
            schedule.room.connect = lambda machine: really("127.0.0.1")
            until_the_os(schedule)
            return schedule

        yield begin
        while under_way:
            under_way.pop().teardown()


def until_the_os(schedule) -> None:
    schedule.start(n=0, kind="install")
    schedule.oracle.check()
    schedule.room.machines[0].is_unheard = True
    schedule.all_goes_well(n=0, times=UNTIL_THE_OS, fate="arrives")
    schedule.oracle.check()
    assert newest(schedule).awaited == "installed"


def newest(schedule):
    from installs.models import Install

    return Install.objects.order_by("-pk").first()


def comes_to(schedule, what: str) -> None:
    """What the machine is like when the deadline comes."""
    from machines.power.base import Power
    from tests.guarantees.hardware import Os

    machine = schedule.room.machines[0]
    if what != UP:
        machine.switch(Power.OFF if what == OFF else Power.ON)
    if what in (OLD, OLDER_ATTEMPT):
        machine.runs = Os(sign=f"dodai-{'x' * 22}" if what == OLDER_ATTEMPT else "")


def until_the_last_look(schedule) -> None:
    room = schedule.room
    room.clock.go_on((newest(schedule).deadline - room.clock.wall).total_seconds())
    room.watch()
    schedule.oracle.check()
    assert newest(schedule).is_live


def ends(schedule, *, with_workers: bool = True):
    """The install, once it has ended, which is at most a minute after the deadline of its wait. A turn a second."""
    for _ in range(MAY_STAND):
        if not newest(schedule).is_live:
            return newest(schedule)
        schedule.room.watch()
        if with_workers:
            schedule.room.work()
        schedule.oracle.check()
    raise AssertionError(f"{MAY_STAND} s after its deadline and still {newest(schedule).state}")


def is_known_by_its_witness(install) -> None:
    assert (install.state, install.confirmed_at, install.machine.state) == ("installed", None, "in_use"), install.error
    notes = install.events.filter(text__contains="its own call never came")
    assert [note.text for note in notes] == [
        "The OS of node1 answers at 198.51.100.1 with the sign of this install; its own call never came."
    ]


def has_failed(install) -> None:
    assert (install.state, install.cause, install.confirmed_at) == ("failed", "no-first-boot", None)
    assert install.error == "node1 was written, but its OS did not call for 15 min: look at its console."


@pytest.mark.fills_the_time
def test_nobody_is_taken_for_failed_whose_os_is_up(guarantee: Callable[..., Tally], begun) -> None:
    seed = random.SystemRandom().randrange(1 << 31) if is_long() else 17
    tally = guarantee("T17", SAYS, seed=seed)
    for trial in range(rounds(FEWEST_TRIALS, 1000)):
        if trial >= FEWEST_TRIALS and not is_time_left():
            break
        chance = random.Random(f"{seed} {trial}")
        with tally.trial():
            try:
                one_trial(begun(), chance)
            except BaseException as exc:
                exc.add_note(f"Trial {trial} of seed {seed}")
                raise


def one_trial(schedule, chance: random.Random) -> None:
    what = chance.choice([UP, UP, UP, STUCK, OFF, OLD, OLDER_ATTEMPT])
    comes_to(schedule, what)
    until_the_last_look(schedule)
    for _ in range(chance.choice([0, 0, 1, 2])):  # that many workers, one after another, as leases end
        schedule.room.work_and_stop(chance.randint(1, PAUSES), dies=chance.random() < 0.5)
        for _ in range(chance.choice([1, 16])):
            schedule.room.watch()
    ended = ends(schedule, with_workers=chance.random() < 0.7)
    is_known_by_its_witness(ended) if what == UP else has_failed(ended)
    for _ in list(schedule.room.frozen):
        schedule.room.wake(0)
    schedule.oracle.check()


@pytest.mark.parametrize("with_workers", [True, False])
@pytest.mark.parametrize("what", [UP, STUCK, OFF, OLD, OLDER_ATTEMPT])
def test_what_counts_as_a_witness(guarantee: Callable[..., Tally], begun, what: str, with_workers: bool) -> None:
    with guarantee("T17", SAYS).trial():
        schedule = begun()
        comes_to(schedule, what)
        until_the_last_look(schedule)
        ended = ends(schedule, with_workers=with_workers)
        is_known_by_its_witness(ended) if what == UP else has_failed(ended)


@pytest.mark.parametrize("dies", [True, False])
@pytest.mark.parametrize("at", range(1, PAUSES + 1))
def test_a_worker_that_dies_or_freezes_in_the_last_look(
    guarantee: Callable[..., Tally], begun, at: int, dies: bool
) -> None:
    with guarantee("T17", SAYS).trial():
        schedule = begun()
        until_the_last_look(schedule)
        schedule.room.work_and_stop(at, dies=dies)
        assert newest(schedule).state == "running"
        is_known_by_its_witness(ends(schedule))
        for _ in list(schedule.room.frozen):
            schedule.room.wake(0)
        schedule.oracle.check()


LATE = "The call of an OS that was known by its witness confirms its install once, and moves nothing else"


def test_a_late_word_confirms_once(guarantee: Callable[..., Tally], begun) -> None:
    from tests.guarantees import script

    with guarantee("T17", LATE).trial():
        schedule = begun()
        until_the_last_look(schedule)
        before = ends(schedule)
        schedule.room.machines[0].is_unheard = False
        word = script.next_message(schedule.room.machines[0])
        assert b'"late"' in schedule.room.deliver(word).content
        schedule.oracle.check()
        confirmed = newest(schedule)
        assert confirmed.confirmed_at
        schedule.room.clock.go_on(5)
        assert b'"duplicate"' in schedule.room.deliver(word).content
        schedule.oracle.check()
        changed = {name for name, value in vars(before).items() if value != vars(newest(schedule)).get(name)}
        assert changed <= {"confirmed_at", "_state", "_prefetched_objects_cache"}
        assert newest(schedule).confirmed_at == confirmed.confirmed_at
        assert confirmed.events.get(kind="machine", name="installed").repeated == 1


@pytest.mark.parametrize("at", range(1, PAUSES + 1))
def test_a_word_that_comes_during_the_last_look(guarantee: Callable[..., Tally], begun, at: int) -> None:
    with guarantee("T17", LATE).trial():
        schedule = begun()
        until_the_last_look(schedule)
        schedule.room.work_and_stop(at, dies=False)
        schedule.room.machines[0].is_unheard = False
        schedule.machine_goes_on(n=0, times=1)
        schedule.oracle.check()
        schedule.room.wake(0)
        ended = ends(schedule)
        assert (ended.state, bool(ended.confirmed_at)) == ("installed", True)


def test_a_word_during_the_last_look_counts_though_nobody_works_until_its_end(
    guarantee: Callable[..., Tally], begun
) -> None:
    with guarantee("T17", LATE).trial():
        schedule = begun()
        until_the_last_look(schedule)
        schedule.room.work_and_stop(1, dies=False)
        schedule.room.machines[0].is_unheard = False
        schedule.machine_goes_on(n=0, times=1)
        schedule.room.clock.go_on((newest(schedule).deadline - schedule.room.clock.wall).total_seconds())
        schedule.room.watch()
        schedule.oracle.check()
        assert (newest(schedule).state, bool(newest(schedule).confirmed_at)) == ("installed", True)
        schedule.room.wake(0)
        schedule.oracle.check()


def test_a_word_in_the_pause_between_two_looks_ends_it_at_once(guarantee: Callable[..., Tally], begun) -> None:
    with guarantee("T17", LATE).trial():
        schedule = begun()
        comes_to(schedule, OLD)
        until_the_last_look(schedule)
        schedule.room.work()
        assert newest(schedule).state == "waiting"
        machine = schedule.room.machines[0]
        machine.runs, machine.is_unheard = machine.disk, False
        schedule.machine_goes_on(n=0, times=1)
        schedule.oracle.check()
        assert (newest(schedule).state, bool(newest(schedule).confirmed_at)) == ("installed", True)


@pytest.mark.parametrize("first_ends", [UP, OLD])
def test_the_word_of_an_older_attempt_sets_nothing(guarantee: Callable[..., Tally], begun, first_ends: str) -> None:
    from tests.guarantees import script

    with guarantee("T17", "The call of an older attempt's OS neither confirms nor ends the present one").trial():
        schedule = begun()
        machine = schedule.room.machines[0]
        machine.is_unheard = False
        word = script.next_message(machine)
        comes_to(schedule, first_ends)
        until_the_last_look(schedule)
        ends(schedule)
        until_the_os(schedule)
        schedule.room.deliver(word)
        schedule.oracle.check()
        assert (newest(schedule).state, newest(schedule).awaited) == ("waiting", "installed")
        until_the_last_look(schedule)
        is_known_by_its_witness(ends(schedule))


def test_a_cancelled_install_stays_cancelled(guarantee: Callable[..., Tally], begun) -> None:
    with guarantee("T17", "An install that is cancelled while its OS is looked for ends as cancelled").trial():
        schedule = begun()
        until_the_last_look(schedule)
        schedule.room.work_and_stop(PAUSES, dies=False)
        schedule.cancel(pick=0)
        schedule.room.wake(0)
        ended = ends(schedule)
        assert (ended.state, ended.confirmed_at, ended.os_seen_late) == ("cancelled", None, False)
        schedule.room.machines[0].is_unheard = False
        schedule.machine_goes_on(n=0, times=1)
        schedule.oracle.check()
        assert (newest(schedule).state, newest(schedule).confirmed_at) == ("cancelled", None)
        assert newest(schedule).os_seen_late


@pytest.mark.parametrize(
    ("parts", "heard"),
    [
        ([b"SSH-2.0-OpenSSH_9.2p1 Debian-2 dodai-x\r\n"], b"SSH-2.0-OpenSSH_9.2p1 Debian-2 dodai-x"),
        ([b"Welcome\r\n", b"to node1\r\nSSH-2.0-", b"x dodai-x\n", b"more"], b"SSH-2.0-x dodai-x"),
        ([b"SSH-2.0-cut off"], b""),
        ([], b""),
        ([b"dodai-x\r\n" * 2000], b""),
        ([b"\0" * 100_000], b""),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], b""),
    ],
)
def test_what_a_listener_may_say(monkeypatch, parts: list[bytes], heard: bytes) -> None:
    from installs import witness

    with listening(lambda: parts) as port:
        monkeypatch.setattr(witness, "SSH_PORT", port)
        monkeypatch.setattr(witness, "SECONDS", 30.0)
        assert witness.greeting("127.0.0.1") == heard


def test_who_says_nothing_or_drips_is_not_waited_for_long(monkeypatch) -> None:
    from installs import witness

    def drips() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"x\r\n"

    monkeypatch.setattr(witness, "SECONDS", 0.2)
    for says in (drips, lambda: [time.sleep(30)]):
        with listening(says) as port:
            monkeypatch.setattr(witness, "SSH_PORT", port)
            assert witness.greeting("127.0.0.1") == b""
    assert witness.greeting("127.0.0.1") == b""  # nobody is there any more


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "10.9.9.9", "10.9.9.8",
     "::ffff:10.9.9.9", "no address"],
)  # fmt: skip
def test_neither_this_computer_nor_another_one_of_dodais_is_a_witness(monkeypatch, settings, address: str) -> None:
    from installs import witness
    from machines import own_hosts

    settings.OWN_HOSTS = ["10.9.9.8"]
    monkeypatch.setattr(own_hosts, "_addresses", lambda: iter(["10.9.9.9"]))
    assert not witness.may_be_asked(address)
    assert witness.may_be_asked("10.9.9.7")


def test_where_a_machine_is_looked_for(monkeypatch) -> None:
    from installs import witness
    from installs.models import Event, Install, add_event
    from tests import installing

    monkeypatch.setattr(witness, "may_be_asked", lambda address: address != "10.0.0.1")
    machine = installing.make_machine()
    machine.interfaces.update(address="10.0.0.7/24")
    machine.interfaces.create(mac="52:54:00:00:00:aa", address="10.1.0.7/24")
    install = Install.objects.create(machine=machine, method="file-tree", plan_digest="x")
    for name, address in (("install", "10.0.0.1"), ("granted", None), ("install_reboot", "10.0.0.90")):
        add_event(install, Event.Kind.MACHINE, name, address=address)
    assert witness.addresses(install) == ["10.0.0.7", "10.1.0.7", "10.0.0.90"]
    machine.site.is_practice = True
    install.machine = machine
    assert witness.addresses(install) == []
