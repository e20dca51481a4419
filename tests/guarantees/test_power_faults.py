"""Power under faults: a bad network, dead and lying BMCs, machines that do not follow. Over real IPMI."""

import contextlib
import itertools
import multiprocessing
import random
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from django.db import connections
from django.utils.timezone import now
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from installs import flow, sweep
from installs.lifecycle import ENDED
from installs.methods.ramdisk import SWITCH_TRIES
from installs.models import BOOT_FLAG_LOST, Install
from machines import actions, jobs, poll
from machines.models import Machine
from machines.power import driver_for, fake
from machines.power.base import BmcEndpoint, BootDevice, Power, PowerError
from machines.power.child import DEADLINE_SECONDS
from tests import installing
from tests.fault_proxy import FaultProxy, Faults, fault_proxy
from tests.guarantees.tally import rounds
from tests.machines.bmcs import PASSWORD, running_bmc

pytestmark = pytest.mark.django_db(transaction=True)

SEED = 11
ENDING_SECONDS = 30.0  # for the end of a process on a computer that may be busy
TURN_SECONDS = 0.05
HELD_UP_SECONDS = rounds(3, 1)  # the short form runs on computers that do much else meanwhile
MEASURINGS = 3  # of which one has to be good enough: the computer may have been busy with something else


@pytest.fixture(autouse=True)
def _fakes(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)
    fake.forget()
    yield
    fake.forget()


@pytest.fixture(scope="module")
def bmcs() -> Iterator[dict[Power, BmcEndpoint]]:
    """Two real BMCs: one of a machine that is on, and one of a machine that is off."""
    with running_bmc("on") as (paper, on), running_bmc("off") as (_, off):
        paper.is_on = True
        yield {Power.ON: on, Power.OFF: off}


@pytest.fixture
def poller() -> Iterator[poll.Poller]:
    poller = poll.Poller()
    yield poller
    poller.close()


# A network that loses, doubles, delays, damages and misdelivers


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_a_bad_network_turns_no_machine_on_or_off(guarantee, bmcs, poller, monkeypatch, loss):
    monkeypatch.setattr(poll, "EVERY", timedelta(seconds=0.5))
    monkeypatch.setattr(poll, "LONGEST_PAUSE", timedelta(seconds=0.5))
    read = guarantee("T11", f"At {loss:.0%} loss no machine is said to be on or off that is not", seed=SEED)
    watcher = guarantee("T11", f"At {loss:.0%} loss the watcher has one session at a BMC", seed=SEED)
    both = guarantee("T11", f"At {loss:.0%} loss watcher and power command together have two", seed=SEED)
    faults = Faults(drop=loss, duplicate=0.1, late=0.1, garble=0.01, misdeliver=0.01)
    with fault_proxy(SEED, faults) as proxy:
        truth = _machines_behind(proxy, bmcs, count=20)
        for tally, at_most, asking in ((watcher, 1, False), (both, 2, True)):
            before = len(proxy.conversations)
            with _status_commands(list(truth) if asking else []):
                for _ in _until(rounds(5, 150), and_then=_anything_was_read):
                    stored = poller.turn()
                    with read.trial(stored):
                        assert _wrong(truth) == {}
            with tally.trial(len(proxy.conversations) - before):
                assert proxy.most_at_once(since=before) <= at_most
    assert proxy.faults_done > 10
    assert _anything_was_read()


def _machines_behind(proxy: FaultProxy, bmcs: dict[Power, BmcEndpoint], *, count: int) -> dict[int, Power]:
    """Machines by their pk, and what each of them truly is."""
    ways = zip(range(1, count + 1), itertools.cycle(bmcs.items()), strict=False)
    return {_machine(number, proxy.front(bmc.port)).pk: power for number, (power, bmc) in ways}


def _machine(number: int, port: int) -> Machine:
    machine = installing.make_machine(f"node{number}", number=number)
    machine.bmc.driver, machine.bmc.host, machine.bmc.port, machine.bmc.username = "ipmi", "127.0.0.1", port, "admin"
    machine.bmc.system_id = str(number)  # several stand behind one port here, which the inventory would refuse
    machine.bmc.set_password(PASSWORD)
    machine.bmc.save()
    return machine


def _wrong(truth: dict[int, Power]) -> dict[int, str]:
    """What is recorded of machines, where it is neither true nor `unknown`."""
    recorded = Machine.objects.values_list("pk", "power_state")
    return {pk: state for pk, state in recorded if state not in (truth[pk], Power.UNKNOWN)}


def _anything_was_read() -> bool:
    return Machine.objects.exclude(power_seen_at=None).exists()


def _until(seconds: float, and_then: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turns for so long, and on until that has come true, for at most a minute and a half more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end or (time.monotonic() < end + 90 and not and_then()):
        yield
        time.sleep(TURN_SECONDS)


@contextmanager
def _status_commands(machine_ids: list[int]) -> Iterator[None]:
    """Two workers, and somebody who asks for the power of all these machines again and again."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(TURN_SECONDS):
            jobs.run_power_commands()
        connections.close_all()

    def ask() -> None:
        for pk in itertools.cycle(machine_ids):
            with contextlib.suppress(actions.Refused):  # the one before is still under way
                actions.request_power(Machine.objects.get(pk=pk), "status", by="tester")
            if stop.wait(TURN_SECONDS):
                break
        connections.close_all()

    threads = [threading.Thread(target=run) for run in (work, work, ask) if machine_ids]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


@seed(SEED)
@settings(max_examples=rounds(20, 2000), deadline=None, database=None)
@given(said=st.lists(st.sampled_from([Power.ON, Power.OFF, Power.UNKNOWN, None]), min_size=1, max_size=12))
def _flapping(said: list[Power | None], check: Callable[[list[Power | None]], None]) -> None:
    check(said)


def test_on_becomes_off_only_when_several_readings_say_so(guarantee, db, poller):
    """`None` is a reading that failed. What is recorded follows from the readings alone."""
    machine = installing.make_machine()
    tally = guarantee("T11", "On becomes off, or off on, by three readings in a row", seed=SEED)

    def check(said: list[Power | None]) -> None:
        Machine.objects.update(power_state=Power.ON)
        poller.__init__()  # a watcher that begins  # type: ignore[misc]
        known, so_far = Power.ON, [Power.ON] * 3
        for reading in said:
            before = Machine.objects.get().power_state
            so_far.append(reading)
            poller._store(Machine.objects.get(), _Read(reading))
            after = Machine.objects.get(pk=machine.pk).power_state
            with tally.trial():
                if after not in (known, Power.UNKNOWN):
                    assert so_far[-3:] == [after] * 3
                assert after in (before, reading, Power.UNKNOWN)
            known = known if after == Power.UNKNOWN else after

    _flapping(check=check)


class _Read:
    """A reading that has ended."""

    def __init__(self, power: Power | None) -> None:
        self.power = power

    def result(self) -> Power:
        if self.power is None:
            raise PowerError("node1: the BMC does not answer")
        return self.power


# BMCs that answer nothing, or nonsense


def _silent(answer: Callable[[bytes], None], packet: bytes, chance: random.Random) -> None: ...


def _dribbling(answer: Callable[[bytes], None], packet: bytes, chance: random.Random) -> None:
    answer(packet[:1])  # and the next byte 10 s later, when nobody listens any more


def _nonsense(answer: Callable[[bytes], None], packet: bytes, chance: random.Random) -> None:
    answer(chance.randbytes(chance.randrange(1, 600)))


def _nearly_right(answer: Callable[[bytes], None], packet: bytes, chance: random.Random) -> None:
    answer(packet[: min(len(packet), 16)] + chance.randbytes(chance.randrange(1, 60)))


def _echoing(answer: Callable[[bytes], None], packet: bytes, chance: random.Random) -> None:
    answer(packet)


def _flooding(answer: Callable[[bytes], None], packet: bytes, chance: random.Random) -> None:
    for _ in range(200):
        answer(packet[:4] + chance.randbytes(40))


BAD_BMCS = (_silent, _dribbling, _nonsense, _nearly_right, _echoing, _flooding)


def test_a_call_ends_by_its_deadline_whatever_the_bmc_says(guarantee):
    tally = guarantee("T12", "A call to a dead or hostile BMC ends by its deadline, and leaves no process", seed=SEED)
    before = set(multiprocessing.active_children())
    for number in range(rounds(1, 20)):
        with ThreadPoolExecutor(len(BAD_BMCS)) as pool:
            for call in [pool.submit(_call, bad, SEED + number) for bad in BAD_BMCS]:
                with tally.trial():
                    took, said = call.result()
                    assert took < DEADLINE_SECONDS + ENDING_SECONDS, f"{took:.1f} s: {said}"
                    assert "BMC" in said
    assert set(multiprocessing.active_children()) <= before


def test_another_bmcs_answers_are_not_taken_for_its_own(guarantee, bmcs):
    """Two BMCs are asked in the same moment, and what one says comes to who asked the other."""
    tally = guarantee("T12", "Answers of another BMC never become a reading", seed=SEED)
    with fault_proxy(SEED, Faults(misdeliver=0.5)) as proxy:
        fronts = {power: replace(bmc, port=proxy.front(bmc.port)) for power, bmc in bmcs.items()}
        for _ in range(rounds(2, 60)):
            with ThreadPoolExecutor(len(fronts)) as pool:
                readings = {power: pool.submit(_timed, driver_for(bmc).state) for power, bmc in fronts.items()}
            for power, reading in readings.items():
                with tally.trial():
                    took, said = reading.result()
                    assert took < DEADLINE_SECONDS + ENDING_SECONDS
                    assert said == power or said not in list(Power), f"{said} instead of {power}"
        assert proxy.faults_done > 0


def _call(bad: Callable[..., None], number: int) -> tuple[float, str]:
    with _bad_bmc(bad, number) as port:
        endpoint = BmcEndpoint("node1", "ipmi", "127.0.0.1", port, username="admin", password=PASSWORD)
        took, said = _timed(driver_for(endpoint).state)
    assert said not in list(Power), f"{bad.__name__} was taken for {said}"
    return took, said


def _timed(call: Callable[[], Power]) -> tuple[float, str]:
    """Seconds, and the reading or the error's words."""
    began = time.monotonic()
    try:
        said = str(call())
    except PowerError as exc:
        said = str(exc)
    return time.monotonic() - began, said


@contextmanager
def _bad_bmc(behave: Callable[..., None], number: int) -> Iterator[int]:
    chance = random.Random(number)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bmc:
        bmc.bind(("127.0.0.1", 0))
        bmc.settimeout(0.2)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    packet, client = bmc.recvfrom(2000)
                    behave(partial(_answer, bmc, client), packet, chance)
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield bmc.getsockname()[1]
        finally:
            stop.set()
            thread.join(5)


def _answer(bmc: socket.socket, client: tuple[str, int], packet: bytes) -> None:
    bmc.sendto(packet, client)


def test_dead_bmcs_do_not_hold_up_the_others(guarantee, bmcs, monkeypatch):
    """The same healthy machines fall due at the same moments, without dead ones between them and with them."""
    healthy, dead = rounds(30, 450), rounds(24, 50)
    tally = guarantee("T12", f"{dead} dead BMCs among {healthy + dead} delay the others by less than a second (median)")
    monkeypatch.setattr(poll, "EVERY", timedelta(hours=1))  # each falls due once
    monkeypatch.setattr(poll, "LONGEST_PAUSE", timedelta(hours=1))
    port = bmcs[Power.ON].port
    live = [_machine(number, port) for number in range(1, healthy + 1)]
    with _bad_bmc(_silent, 0) as silent:
        gone = [_machine(number, silent) for number in range(healthy + 1, healthy + dead + 1)]
        measured = (_held_up_seconds(live, gone) for _ in range(MEASURINGS))
        with tally.trial(healthy):
            held_up = [next(measured)]
            while held_up[-1] >= HELD_UP_SECONDS:
                held_up.append(next(measured, None))
                assert held_up[-1] is not None, f"seconds later than without dead ones, each time: {held_up}"


def _held_up_seconds(live: list[Machine], gone: list[Machine]) -> float:
    """How much later they are read for those that are gone; medians."""
    Machine.objects.filter(pk__in=[machine.pk for machine in gone]).update(power_poll_at=now() + timedelta(hours=1))
    alone = _delays(live)
    return statistics.median(_delays(live, gone).values()) - statistics.median(alone.values())


def _delays(live: list[Machine], gone: list[Machine] = (), *, each_second: int = 6) -> dict[int, float]:  # type: ignore[assignment]
    """Seconds from when each living one was due to when it was read; all fall due one after another."""
    seconds = len(live) / each_second
    due = {}
    begin = now() + timedelta(seconds=0.5)
    for group in (live, gone):
        for number, machine in enumerate(group):
            due[machine.pk] = begin + timedelta(seconds=seconds * number / len(group))
            Machine.objects.filter(pk=machine.pk).update(power_poll_at=due[machine.pk], power_seen_at=None)
    poller = poll.Poller()
    try:
        for _ in _until(seconds + 60):
            poller.turn()
            read = Machine.objects.filter(pk__in=[m.pk for m in live]).exclude(power_seen_at=None)
            if read.count() == len(live):
                break
        return {pk: (seen - due[pk]).total_seconds() for pk, seen in read.values_list("pk", "power_seen_at")}
    finally:
        poller.close()


# Machines that do not follow their BMC


def _run(install: Install) -> Install:
    """Be worker and watchdog until it waits for the machine or has ended; time passes as fast as it can."""
    for _ in range(200):
        sweep.sweep()
        while flow.run_due():
            pass
        install.refresh_from_db()
        if install.state in ENDED or install.awaited:
            return install
        Install.objects.filter(look_again_at__isnull=False).update(look_again_at=now())
    raise AssertionError(f"{install.state} at step {install.step} for ever")


def _calls(what: str) -> int:
    return fake.calls.count(("node1", what))


@pytest.mark.parametrize("deaf_for", range(SWITCH_TRIES + 2))
def test_a_machine_that_stays_off_is_switched_on_some_times_and_then_given_up(guarantee, deaf_for):
    """Its BMC says yes each time; the machine follows from the try after `deaf_for` on."""
    tally = guarantee("T13", "A machine that stays off is switched on four times at most, then fails by `power`")
    heard = itertools.count()
    fake.listeners.append(lambda name, what: _stay(Power.OFF) if what == "on" and next(heard) < deaf_for else None)
    with tally.trial():
        install = _run(installing.start(installing.make_machine()))
        assert _calls("on") == min(deaf_for + 1, SWITCH_TRIES)
        assert _calls("reset") == 0
        if deaf_for < SWITCH_TRIES:
            assert install.awaited == "install"
            return
        assert (install.state, install.cause, install.granted_at) == ("failed", "power", None)
        assert install.error.startswith("node1 is still off after 4 tries to switch it on")
        assert "retry" in install.error


def test_a_bmc_that_always_says_on_is_not_asked_for_ever(guarantee):
    tally = guarantee("T13", "A machine that stays on is switched off four times at most, then fails by `power`")
    fake.states["node1"] = Power.ON
    fake.listeners.append(lambda name, what: _stay(Power.ON))
    with tally.trial():
        install = _run(installing.start(installing.make_machine()))
        assert (install.state, install.cause, _calls("off"), _calls("on")) == ("failed", "power", SWITCH_TRIES, 0)
        assert install.error.startswith("node1 is still on after 4 tries to switch it off")


def _stay(power: Power) -> None:
    fake.states["node1"] = power


@pytest.mark.parametrize("says", [BootDevice.DEFAULT, BootDevice.DISK])
def test_a_boot_flag_that_did_not_stick_is_named(guarantee, says):
    """The old OS boots instead: nobody asks how to boot until the deadline."""
    tally = guarantee("T14", "A boot flag that did not stick is named when nothing booted, and no disk was written")
    fake.listeners.append(lambda name, what: fake.devices.update(node1=says) if what.startswith("boot from") else None)
    with tally.trial():
        install = _run(installing.start(installing.make_machine()))
        assert install.events.filter(name=BOOT_FLAG_LOST, text__contains=f"now says {says}").exists()
        _deadline_passes(install)
        assert (install.state, install.cause, install.granted_at) == ("failed", "no-netboot", None)
        assert "its BMC did not keep the boot device that it was told" in install.error
        assert "machine type to network first, then retry" in install.error
        assert "No disk was written" in install.left_behind
        assert install.machine.state == "free"


def test_a_firmware_that_ignores_a_boot_flag_is_found_out_by_its_deadline(guarantee):
    tally = guarantee("T14", "A machine that boots its old OS fails by its deadline, and no disk was written")
    with tally.trial():
        install = _run(installing.start(installing.make_machine()))
        assert not install.events.filter(name=BOOT_FLAG_LOST).exists()
        _deadline_passes(install)
        assert (install.state, install.cause, install.granted_at) == ("failed", "no-netboot", None)
        assert "check boot order" in install.error


def test_a_real_bmc_that_keeps_no_boot_flag_is_noticed(guarantee, bmcs):
    """Over IPMI, with a BMC that acknowledges the flag and forgets it."""
    tally = guarantee("T14", "Over IPMI, a boot flag that was acknowledged and forgotten is read back", seed=SEED)
    with running_bmc("forgetful") as (paper, bmc):
        paper.forgets_boot = True
        machine = _machine(1, bmc.port)
        with tally.trial():
            install = _run_at_leisure(installing.start(machine))
            assert install.awaited == "install", install.error
            assert paper.is_on
            assert install.events.filter(name=BOOT_FLAG_LOST, text__contains="now says default").exists()


def _deadline_passes(install: Install) -> None:
    Install.objects.filter(pk=install.pk).update(quiet_until=now() - timedelta(seconds=1))
    _run(install)
    install.refresh_from_db()
    if install.state not in ENDED:
        sweep.sweep()
        _run(install)


def _run_at_leisure(install: Install) -> Install:
    for _ in _until(120):
        sweep.sweep()
        flow.run_due()
        install.refresh_from_db()
        if install.state in ENDED or install.awaited:
            break
    return install
