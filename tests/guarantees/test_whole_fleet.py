"""Whatever people, switches and machines do, in whatever order: no machine has two owners, none is left in a VLAN that
it has left, and none is in a state without a way out.
"""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from random import SystemRandom
from unittest import mock

import pytest
from django.db import transaction
from django.utils.timezone import now
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from installs import actions, ending, flow
from installs.allocation import asking, pool, refill, turns
from installs.allocation.asking import Asked
from installs.allocation.lifecycle import LIVE, OPEN, Part
from installs.handover.outcome import CONNECT, STEPS, Done, End, Outcome
from installs.models import Allocation, AllocationMachine, Install
from installs.releasing import due, erasing, release
from machines import actions as machine_actions
from machines import lifecycle, upkeep, verbs
from machines.actions import Refused as MachineRefused
from machines.lifecycle import State
from machines.models import Cluster, Interface, Machine, MachineType, PortMove, Switch, Vlan
from machines.network import fake
from machines.power import fake as fake_power
from tests import erased, installing, scenes
from tests.guarantees.tally import Tally, is_long, rounds

SAYS = "No machine has two owners, is left in a VLAN it has left, or in a state without a way out"
COUNT, STEPS_OF_A_RUN = 5, 25
CLUSTERS = {"web": 210, "db": 211}
QUARANTINE = 999
REFUSALS = (asking.Refused, actions.Refused, MachineRefused, machine_actions.Refused, lifecycle.NotAllowed)
numbers = st.integers(0, COUNT - 1)


class Fleet(RuleBasedStateMachine):
    """Five machines with one cabled port each, two clusters, and everybody who has to do with them."""

    finished = 0

    def __init__(self) -> None:
        super().__init__()
        self._undone = transaction.atomic()
        self._undone.__enter__()
        fake.forget()
        fake_power.forget()
        self.owners: dict[int, int] = {}

    def teardown(self) -> None:
        try:
            self._must_end()
        finally:
            transaction.set_rollback(True)
            self._undone.__exit__(None, None, None)
        Fleet.finished += 1

    @initialize(level=st.integers(0, 2))
    def begin(self, level: int) -> None:
        self.kind, self.image = MachineType.objects.create(name="m1"), installing.make_image()
        quarantine = Vlan.objects.create(vid=QUARANTINE, name="quarantine")
        tor = Switch.objects.create(name="tor", driver="fake", vlans="210-219", ports="p1..9", quarantine=quarantine)
        for name, vid in CLUSTERS.items():
            vlan = Vlan.objects.create(vid=vid, name=name)
            Cluster.objects.create(name=name, vlan=vlan, network=f"10.2.{vid}.0/28")
        for number in range(1, COUNT + 1):
            machine = installing.make_machine(f"n{number}", number=number, type=self.kind)
            Interface.objects.create(
                machine=machine, mac=f"52:54:00:0f:00:{number:02x}", switch=tor, switch_port=f"p{number}"
            )
            fake.vlans[f"tor port p{number}"] = QUARANTINE
        if level:
            pool.set_level(self.kind, self.image, level, by="ada")

    # What people do.

    @rule(cluster=st.sampled_from([*CLUSTERS]), count=st.integers(1, 3), spares=st.integers(0, 2), strict=st.booleans())
    def ask(self, cluster: str, count: int, spares: int, strict: bool) -> None:
        wanted = Asked(self.kind, self.image, Cluster.objects.get(name=cluster), count, spares, strict, "ada")
        with contextlib.suppress(asking.Refused):
            asking.ask(wanted, by="ada")

    @rule()
    def cancel_allocation(self) -> None:
        if allocation := Allocation.objects.filter(state__in=sorted(LIVE)).first():
            with contextlib.suppress(asking.Refused):
                asking.cancel(allocation, by="ada")

    @rule(which=numbers, what=st.sampled_from(["release", "release", "undo", "erase", "web", "db", "nowhere"]))
    def operate(self, which: int, what: str) -> None:
        machine = self.machine(which)
        with contextlib.suppress(*REFUSALS):
            match what:
                case "release":
                    release.release(machine, by="ada")
                case "undo":
                    release.undo_release(machine, by="ada")
                case "erase":
                    erasing.erase(machine, by="ada")
                case _:
                    release.move_to(machine, Cluster.objects.filter(name=what).first(), by="ada")

    @rule(
        which=numbers,
        what=st.sampled_from(["broken", "repaired", "aside", "back", "adopt", "protect", "unprotect", "install"]),
    )
    def decide(self, which: int, what: str) -> None:
        machine = self.machine(which)
        with contextlib.suppress(*REFUSALS):
            match what:
                case "broken":
                    upkeep.mark_broken(machine, by="ada", why="smoke")
                case "repaired":
                    upkeep.repaired(machine)
                case "aside":
                    machine_actions.set_aside(machine, by="ada", why="a look", until=None)
                case "back":
                    upkeep.take_back(machine)
                case "adopt":
                    upkeep.adopt_running(machine, system="a system")
                case "protect" | "unprotect":
                    upkeep.protect(machine, protected=what == "protect")
                case "install":
                    actions.start_install(machine, self.image, by="bob", is_capped=False)

    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        if install := Install.objects.live().filter(machine=self.machine(which)).first():
            with contextlib.suppress(actions.Refused):
                actions.cancel(install, by="ada")

    # What time, machines and switches do.

    @rule(door=st.sampled_from([End.DONE, End.DONE, End.SILENT, End.WRONG_HOST]))
    def work(self, door: End) -> None:
        """Workers and a watchdog do all that is due."""
        step = "" if door == End.DONE else CONNECT
        done = tuple(Done(name, 0.1) for name in STEPS) if door == End.DONE else ()
        outcome = Outcome(door, done, failed_step=step, cause="" if door == End.DONE else "so it is")
        with mock.patch("installs.methods.operations.hand_over._enter", return_value=outcome):
            flow.begin_next()
            for _ in range(60):
                Install.objects.live().filter(look_again_at__isnull=False).update(look_again_at=now())
                if not flow.run_due():
                    break
        turns.take_all()
        refill.take_all()
        due.erase_due()

    @rule(which=numbers, how=st.sampled_from(["well", "well", "well", "silent"]))
    def speak(self, which: int, how: str) -> None:
        """A machine that an attempt waits for goes all its way, or falls silent."""
        waiting = Install.objects.filter(machine=self.machine(which), state="waiting").exclude(awaited="")
        install = waiting.first()
        if install is None:
            return
        if how == "silent":
            ending.stop(install.pk, cause="silent", error="it fell silent")
        else:
            self._go_through(install)

    @rule(hours=st.sampled_from([0, 2]))
    def pass_time(self, hours: int) -> None:
        soon = now() - timedelta(seconds=1)
        if hours:
            Machine.objects.filter(erase_at__isnull=False).update(erase_at=soon)

    @rule(which=numbers, fault=st.sampled_from(["refuses", "fails", "fails late", "lies"]), times=st.integers(1, 12))
    def spoil(self, which: int, fault: str, times: int) -> None:
        fake.faults[f"tor port p{which + 1}"] = [fault] * times

    # What must be so after each rule.

    def check_invariants(self, *args: object, **kwargs: object) -> None:
        if not hasattr(self, "kind"):
            return
        for machine in Machine.objects.select_related("cluster__vlan", "site"):
            self._has_one_owner(machine)
            self._is_in_no_hands_of_the_dead(machine)
            if not machine.handled_by:
                self._is_in_its_vlan(machine)
                self._has_a_way_out(machine)
        given = [address for address in Interface.objects.values_list("address", flat=True) if address]
        assert len(given) == len(set(given)), given

    def _has_one_owner(self, machine: Machine) -> None:
        if machine.state != State.IN_USE and not machine.handled_by:
            self.owners.pop(machine.pk, None)
        for part in AllocationMachine.objects.filter(machine=machine, state__in=[*OPEN, Part.READY]).order_by("pk"):
            before = self.owners.get(machine.pk)
            assert part.state == Part.READY or before in (None, part.allocation_id), f"{machine} has two owners"
            if part.state == Part.READY and machine.state == State.IN_USE:
                self.owners[machine.pk] = part.allocation_id
        assert AllocationMachine.objects.filter(machine=machine, state__in=sorted(OPEN)).count() <= 1

    def _is_in_no_hands_of_the_dead(self, machine: Machine) -> None:
        who = machine.handled_by
        live = {str(install) for install in Install.objects.live().filter(machine=machine)}
        held = AllocationMachine.objects.filter(machine=machine, state=Part.HELD).select_related("allocation")
        assert not who or who in live | {str(part.allocation) for part in held}, f"{machine} is held by {who}"
        assert not live or who in live, f"{machine} is worked on by {live}, and held by {who!r}"

    def _is_in_its_vlan(self, machine: Machine) -> None:
        port = f"p{machine.name[1:]}"
        newest = PortMove.objects.filter(port=port).order_by("-pk").first()
        if newest is not None and newest.state == PortMove.State.ASTRAY:
            return  # that stands on its page
        found = fake.vlans[f"tor port {port}"]
        own = machine.cluster.vlan.vid if machine.cluster and machine.cluster.vlan else None
        assert found in (own, QUARANTINE), f"{machine} ({machine.state}) is in {found}, its cluster's VLAN is {own}"
        is_released = machine.state == State.RELEASING and machine.erase_at is not None
        assert found == QUARANTINE or not is_released, f"{machine} is released, and still in {found}"
        if machine.cluster is None:
            cards = machine.interfaces.exclude(address="")
            assert not cards.exists(), f"{machine} keeps the address {cards[0].address} of a cluster it has left"

    def _has_a_way_out(self, machine: Machine) -> None:
        ways = verbs.possible(machine) - {"power", "reserve", "choose_cluster"}
        assert ways or machine.protected, f"{machine} is {machine.state}: nothing can be done with it"

    def _must_end(self) -> None:
        """Whatever happened: once all goes well, all ends, and each machine can be made free again."""
        if not hasattr(self, "kind"):
            return
        fake.faults.clear()
        Machine.objects.update(protected=False)
        pool.PoolLevel.objects.all().delete()
        for _ in range(12):
            self._all_goes_well()
        assert not Install.objects.live().exists(), [*Install.objects.live().values("method", "state", "step")]
        assert not Allocation.objects.filter(state__in=sorted(LIVE)).exists()
        assert not Machine.objects.exclude(handled_by="").exists()
        for _ in range(8):
            for machine in Machine.objects.exclude(state=State.FREE):
                self._towards_free(machine)
            self._all_goes_well()
        assert {*Machine.objects.values_list("state", flat=True)} == {State.FREE}
        self.check_invariants()

    def _all_goes_well(self) -> None:
        self.work(End.DONE)
        for which in range(COUNT):
            self.speak(which, "well")
        self.check_invariants()

    def _towards_free(self, machine: Machine) -> None:
        with contextlib.suppress(*REFUSALS):
            match machine.state:
                case State.IN_USE:
                    release.release(machine, by="ada", keep_minutes=0)
                case State.RELEASING:
                    erasing.erase(machine, by="ada")
                case State.BROKEN:
                    upkeep.repaired(machine)
                case State.ASIDE:
                    upkeep.take_back(machine)
                case State.NEW:
                    actions.start_inspection(machine, by="ada")
                case State.WARM:
                    actions.start_install(machine, self.image, by="ada", is_capped=False)

    def _go_through(self, install: Install) -> None:
        server = installing.Server(install.machine)
        if install.awaited == "installed":
            return  # its OS starts at the end of what stands below
        if not server.boot():
            return
        if install.method == "inspect":
            server.say("inspected", installing.facts_of(server.machine, server.boot_id))
            return
        server.say("install")
        self._run()
        granted = server.ask_grant()
        if install.method == "erase":
            server.say("deleted", erased.honest(install.plan))
            return
        server.say("install_reboot")
        self._run()
        server.finish_first_boot(granted)

    def _run(self) -> None:
        for _ in range(20):
            Install.objects.live().filter(look_again_at__isnull=False).update(look_again_at=now())
            if not flow.run_due():
                return

    def machine(self, which: int) -> Machine:
        return Machine.objects.get(name=f"n{which + 1}")


@pytest.fixture(autouse=True)
def _ready(settings, db):
    settings.ROOT_URLCONF = "dodaiweb.provision_urls"
    settings.MIDDLEWARE, settings.ALLOWED_HOSTS = [], ["*"]
    with scenes.named_ramdisk():
        yield
    fake.forget()
    fake_power.forget()


def test_whatever_happens_no_machine_is_lost_or_given_twice(guarantee: Callable[..., Tally]) -> None:
    first = SystemRandom().randrange(1 << 31) if is_long() else 1
    tally, before = guarantee("E1", SAYS, seed=first), Fleet.finished
    try:
        run(first, rounds(4, 1000), Phase.generate)
    except BaseException:
        tally.failures += 1
        raise
    finally:
        tally.trials += Fleet.finished - before


BROKEN = {
    "nothing is parked": lambda: mock.patch("installs.methods.operations.release.Release.park", _next),
    "nobody is let go": lambda: mock.patch("installs.allocation.turns._let_go"),
    "who has one is no reason": lambda: mock.patch("installs.allocation.placement._refusal", return_value=None),
    "who is at work never lets go": lambda: mock.patch("installs.ending._release", _kept),
}


def _kept(install: Install) -> Machine:
    return Machine.objects.select_for_update().get(pk=install.machine_id)


def _next(self: object, work: object) -> object:
    from installs.methods.base import Next

    return Next()


def test_an_ordinary_day_breaks_nothing() -> None:
    ordinary_day()


@pytest.mark.parametrize("guard", BROKEN)
def test_a_fleet_with_a_broken_guard_is_noticed(guard: str) -> None:
    """Else the tests above could not fail."""
    with BROKEN[guard](), pytest.raises(AssertionError):
        ordinary_day()


def ordinary_day() -> None:
    """Two allocations, one with a spare; then all machines are released, and erased once that cannot be undone."""
    fleet = Fleet()
    try:
        fleet.begin(level=0)
        for cluster in CLUSTERS:
            fleet.ask(cluster, count=2, spares=1, strict=False)
        for _ in range(3):
            fleet._all_goes_well()
        assert Machine.objects.filter(state=State.IN_USE).count() == 4
        for which in range(COUNT):
            fleet.operate(which, "release")
        fleet._all_goes_well()
    finally:
        fleet.teardown()


def run(first: int, count: int, *phases: Phase) -> None:
    wanted = settings(
        max_examples=count, stateful_step_count=STEPS_OF_A_RUN, deadline=None, database=None, print_blob=True,
        phases=phases, suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    run_state_machine_as_test(seed(first)(Fleet), settings=wanted)
