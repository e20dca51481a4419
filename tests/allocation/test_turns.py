"""What becomes of an allocation while its machines are installed or handed over."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from installs import actions
from installs.allocation import asking, turns
from installs.allocation.lifecycle import Part, State
from installs.models import Allocation, AllocationMachine, Event, Install, add_event
from installs.releasing import erasing, release
from machines import addressing, upkeep
from machines.history import changes_of
from machines.lifecycle import State as MachineState
from machines.models import Interface, Machine, Switch, Vlan
from machines.network import fake
from tests import manual, pooling
from tests.installing import run

pytestmark = pytest.mark.django_db


def of(machine):
    """The live attempt of this machine."""
    return Install.objects.live().get(machine__name=machine)


def turned(allocation, times=2):
    for _ in range(times):
        turns.take_all()
    allocation.refresh_from_db()
    return allocation


def states_of(allocation):
    return {part.machine.name: part.state for part in allocation.machines.select_related("machine")}


def nobody_is_held():
    return not Machine.objects.exclude(handled_by="").exists()


def test_all_ready_is_done_and_spares_are_let_go(asked, fleet):
    fleet(3)
    allocation = asking.ask(replace(asked, spares=1), by="tester")
    pooling.succeed(of("node1"))
    assert turned(allocation).state == State.WORKING
    pooling.succeed(of("node2"))
    assert turned(allocation).state == State.DONE and allocation.ended_at
    assert states_of(allocation) == {"node1": Part.READY, "node2": Part.READY, "node3": Part.LET_GO}
    assert nobody_is_held() and Machine.objects.filter(cluster=asked.cluster, state="in_use").count() == 2


def test_a_spare_takes_the_place_of_one_that_failed(asked, fleet):
    fleet(3)
    allocation = asking.ask(replace(asked, spares=1, owner="ada"), by="tester")
    pooling.succeed(of("node1"))
    pooling.fail(of("node2"), granted=False)
    assert turned(allocation).state == State.WORKING
    assert states_of(allocation)["node2"] == Part.FAILED
    failed, spare = Machine.objects.get(name="node2"), Machine.objects.get(name="node3")
    assert (failed.cluster, failed.owner, failed.handled_by) == (None, "", "")
    assert not Interface.objects.get(machine=failed).address
    cluster = asked.cluster
    assert [row.words for row in changes_of(spare)] == [f"cluster nothing → {cluster}, owner nothing → ada"]
    assert [(row.by, row.words) for row in changes_of(failed)] == [
        ("tester", f"cluster {cluster} → nothing, owner ada → nothing"),
        ("tester", f"cluster nothing → {cluster}, owner nothing → ada"),
    ]
    assert (spare.cluster, spare.owner) == (asked.cluster, "ada")
    pooling.succeed(of("node3"))
    assert turned(allocation).state == State.DONE
    assert "node2 (silent: it was to fail)" in allocation.why_ended


def test_a_free_member_of_the_cluster_is_one_afterwards_as_its_ports_are_still_there(asked, fleet):
    fleet(2)
    member = Machine.objects.get(name="node1")
    addressing.join(member, asked.cluster)
    member.owner = "ada"
    member.save()
    address = Interface.objects.get(machine=member).address
    allocation = asking.ask(replace(asked, owner="ada"), by="tester")
    for name in ("node1", "node2"):
        pooling.fail(of(name), granted=False)
    assert turned(allocation).state == State.FAILED and nobody_is_held()
    member, other = Machine.objects.order_by("name")
    assert (member.cluster, member.owner, member.state) == (asked.cluster, "ada", "free")
    assert Interface.objects.get(machine=member).address == address
    assert (other.cluster, other.owner) == (None, "")
    assert not Interface.objects.get(machine=other).address


@pytest.fixture
def port(fleet) -> Iterator[str]:
    """Of node1, on a switch that Dodai moves ports on; it is in quarantine."""
    (machine,) = fleet(1)
    quarantine = Vlan.objects.create(vid=999, name="quarantine")
    tor = Switch.objects.create(name="tor", driver="fake", vlans="210", ports="p1", quarantine=quarantine)
    Interface.objects.create(machine=machine, mac="52:54:00:0f:00:01", switch=tor, switch_port="p1")
    fake.vlans["tor port p1"] = 999
    yield "tor port p1"
    fake.forget()


@pytest.mark.parametrize("what", ["refuses", "protected", "nothing"])
def test_whose_port_cannot_be_moved_back_stays_in_the_cluster(asked, port, what):
    allocation = asking.ask(replace(asked, count=1, owner="ada"), by="tester")
    run()
    assert fake.vlans[port] == 210
    if what == "protected":
        Machine.objects.update(protected=True)
    else:
        fake.faults[port] = ["refuses"] if what == "refuses" else []
    actions.cancel(of("node1"), by="ada")
    run()
    assert turned(allocation).state == State.FAILED and nobody_is_held()
    machine = Machine.objects.get()
    assert (machine.state, machine.owner) == ("free", "")
    if what == "nothing":
        assert (machine.cluster, fake.vlans[port]) == (None, 999)
        return
    assert (machine.cluster, fake.vlans[port]) == (asked.cluster, 210)
    fake.faults.clear()
    Machine.objects.update(protected=False)
    release.move_to(machine, None, by="ada")
    run()
    assert (Machine.objects.get().cluster, fake.vlans[port]) == (None, 999)


def test_without_a_spare_it_falls_short(asked, fleet):
    fleet(2)
    allocation = asking.ask(asked, by="tester")
    pooling.succeed(of("node1"))
    pooling.fail(of("node2"))
    assert turned(allocation).state == State.SHORT
    assert Machine.objects.get(name="node1").cluster == asked.cluster and nobody_is_held()


def test_with_none_it_has_failed(asked, fleet):
    fleet(2)
    allocation = asking.ask(asked, by="tester")
    pooling.fail(of("node1"))
    pooling.fail(of("node2"), granted=False)
    assert turned(allocation).state == State.FAILED
    assert nobody_is_held() and not Machine.objects.exclude(cluster=None).exists()


def test_a_spare_that_cannot_be_installed_any_more_is_passed_over(asked, fleet):
    fleet(4)
    allocation = asking.ask(replace(asked, spares=2), by="tester")
    Machine.objects.filter(name="node3").update(protected=True)
    pooling.fail(of("node1"))
    turned(allocation)
    assert states_of(allocation)["node3"] == Part.FAILED
    assert "node3 is protected" in AllocationMachine.objects.get(machine__name="node3").why
    assert of("node4")


def test_a_spare_whose_disks_are_not_erased_is_passed_over(asked, fleet):
    fleet(3)
    allocation = asking.ask(replace(asked, count=1, spares=1), by="ada")
    Machine.objects.filter(name="node2").update(unerased=True)
    pooling.fail(of("node1"))
    turned(allocation)
    part = allocation.machines.get(machine__name="node2")
    assert (part.state, part.install) == ("failed", None) and "node2: its disks have to be erased first" in part.why


def test_all_or_nothing_gives_all_back_after_a_failure(asked, fleet):
    fleet(2)
    allocation = asking.ask(replace(asked, all_or_nothing=True), by="tester")
    pooling.fail(of("node1"))
    assert turned(allocation).state == State.UNDOING
    second = Install.objects.get(machine__name="node2")
    assert second.wanted_end == "cancelled", "what is under way is ended"
    pooling.fail(second)
    assert turned(allocation).state == State.FAILED
    assert nobody_is_held() and not Machine.objects.exclude(cluster=None).exists()


def test_all_or_nothing_releases_what_was_ready(asked, fleet):
    fleet(2)
    allocation = asking.ask(replace(asked, all_or_nothing=True), by="tester")
    pooling.succeed(of("node1"))
    turned(allocation)
    pooling.fail(of("node2"))
    assert turned(allocation).state == State.UNDOING
    assert states_of(allocation)["node1"] == Part.WORKING and of("node1").method == "release"
    turned(allocation)
    assert not of("node1").wanted_end, "what gives it back is not ended with the rest"
    pooling.succeed(of("node1"))
    assert turned(allocation).state == State.FAILED
    assert states_of(allocation)["node1"] == Part.GIVEN_BACK
    assert Machine.objects.get(name="node1").state == MachineState.RELEASING


def test_what_the_site_keeps_is_not_given_back(asked, fleet):
    fleet(2)
    allocation = asking.ask(replace(asked, all_or_nothing=True, owner="ada"), by="ada")
    pooling.succeed(of("node1"))
    turned(allocation)
    pooling.fail(of("node2"))
    turned(allocation)
    pooling.fail(of("node1"), cause="site-refused")
    assert turned(allocation).state == State.FAILED
    part, machine = allocation.machines.get(machine__name="node1"), Machine.objects.get(name="node1")
    assert (part.state, part.why) == (Part.READY, "could not be given back: it was to fail")
    assert (machine.state, machine.owner, machine.cluster) == (MachineState.IN_USE, "ada", asked.cluster)
    assert machine.installs.filter(method="release").count() == 1


@pytest.mark.parametrize("by_hand", [True, False])
def test_what_is_somebody_elses_by_now_is_not_given_back(asked, fleet, by_hand):
    fleet(2)
    first = asking.ask(replace(asked, all_or_nothing=True, owner="ada"), by="ada")
    pooling.succeed(of("node1"))
    turned(first)
    machine = Machine.objects.get(name="node1")
    if by_hand:
        pooling.succeed(actions.start_install(machine, asked.image, by="bob"))
    else:
        pooling.succeed(release.release(machine, by="ada", keep_minutes=0))
        pooling.succeed(erasing.erase(machine, by="ada"))
        second = asking.ask(replace(asked, count=1, owner="bob"), by="bob")
        pooling.succeed(of("node1"))
        assert turned(second).state == State.DONE
    asking.cancel(first, by="ada")
    turned(first, 1)
    pooling.fail(Install.objects.get(machine__name="node2"))
    assert turned(first).state == State.CANCELLED
    assert Machine.objects.get(name="node1").state == MachineState.IN_USE
    assert "came after install" in first.machines.get(machine__name="node1").why


def test_a_spare_that_was_a_member_before_stays_one(asked, fleet):
    fleet(2)
    spare = Machine.objects.get(name="node2")
    upkeep.choose_cluster(spare, asked.cluster)
    address = Interface.objects.get(machine=spare).address
    assert address
    allocation = asking.ask(replace(asked, count=1, spares=1), by="ada")
    pooling.succeed(of("node1"))
    assert turned(allocation).state == State.DONE
    spare.refresh_from_db()
    assert (spare.cluster, Interface.objects.get(machine=spare).address) == (asked.cluster, address)
    assert nobody_is_held()


@pytest.mark.parametrize("runs", [True, False])
def test_a_spare_does_not_get_the_address_of_a_system_that_was_left_running(asked, fleet, runs):
    """It was written and restarted itself, and its OS does not call in time. It is in no switch that Dodai moves.

    What did not ask for its restart is switched off first: its address is free.
    """
    fleet(2)
    allocation = asking.ask(replace(asked, count=1, spares=1), by="ada")
    install, address = of("node1"), Interface.objects.get(machine__name="node1").address
    install.boots.create(token_hash="x" * 64, mac="52:54:00:00:00:01")
    if runs:
        add_event(install, Event.Kind.MACHINE, "install_reboot")
    failed = pooling.fail(install, cause="no-first-boot")
    assert failed.left_behind == ("The machine was left as it is." if runs else "The machine is off.")
    turned(allocation)
    assert of("node2") and Interface.objects.get(machine__name="node1").address == (address if runs else "")
    taken = Interface.objects.get(machine__name="node2").address
    assert taken and (taken != address) is runs


def test_a_warm_machine_that_runs_on_keeps_the_address_that_was_written_into_it(asked, fleet):
    (machine,) = fleet(1)
    pooling.warm(machine, asked.image)
    allocation = asking.ask(replace(asked, count=1), by="ada")
    address = Interface.objects.get(machine=machine).address
    Machine.objects.update(protected=True)  # so that it is not installed instead
    pooling.fail(of("node1"))
    assert turned(allocation).state == State.FAILED and nobody_is_held()
    assert address and Interface.objects.get(machine=machine).address == address


def test_cancelling_ends_what_goes_on_and_keeps_what_is_ready(asked, fleet):
    fleet(3)
    allocation = asking.ask(replace(asked, spares=1), by="tester")
    pooling.succeed(of("node1"))
    turned(allocation)
    asking.cancel(allocation, by="ada")
    assert turned(allocation, 1).state == State.UNDOING
    pooling.fail(Install.objects.get(machine__name="node2"))
    assert turned(allocation).state == State.CANCELLED and allocation.why_ended == "cancelled by ada"
    assert states_of(allocation) == {"node1": Part.READY, "node2": Part.FAILED, "node3": Part.LET_GO}
    assert nobody_is_held() and Machine.objects.get(name="node1").cluster == asked.cluster
    with pytest.raises(asking.Refused, match="The allocation is cancelled: there is nothing to cancel"):
        asking.cancel(allocation, by="ada")


def test_a_fallback_goes_on_in_its_place(asked, fleet):
    fleet(1)
    asked.image.fallbacks = [manual.BY_HAND]
    asked.image.save()
    allocation = asking.ask(replace(asked, count=1), by="tester")
    pooling.fail(of("node1"), granted=False)
    assert turned(allocation).state == State.WORKING
    assert allocation.machines.get().install == of("node1") and of("node1").method == "manual"


def test_a_warm_machine_is_handed_over(asked, fleet):
    machines = fleet(2)
    pooled = pooling.warm(machines[0], asked.image)
    allocation = asking.ask(replace(asked, count=1, owner="ada"), by="tester")
    going_on = of("node1")
    assert going_on.method == "hand-over" and going_on.plan["told"] == {
        "install": pooled.pk, "cluster": asked.cluster.pk,
    }  # fmt: skip
    pooling.succeed(going_on)
    assert turned(allocation).state == State.DONE
    machine = Machine.objects.get(name="node1")
    assert (machine.state, machine.owner, machine.cluster, machine.image_name) == (
        "in_use", "ada", asked.cluster, asked.image.name,
    )  # fmt: skip


def test_a_warm_machine_that_does_not_answer_is_installed_anew(asked, fleet):
    machines = fleet(1)
    pooling.warm(machines[0], asked.image)
    allocation = asking.ask(replace(asked, count=1), by="tester")
    Install.objects.filter(pk=of("node1").pk).update(step=0)
    pooling.fail(of("node1"), cause="silent")
    assert turned(allocation).state == State.WORKING
    anew = of("node1")
    assert anew.image == asked.image and not anew.is_for_pool
    pooling.succeed(anew)
    assert turned(allocation).state == State.DONE


def test_a_warm_machine_of_an_older_state_of_the_image_is_not_handed_over(asked, fleet):
    machines = fleet(1)
    pooling.warm(machines[0], asked.image)
    asked.image.sha256 = "cd" * 32
    asked.image.save()
    assert not asking.propose(replace(asked, count=1)).placement.warm


def test_a_warm_machine_whose_key_is_gone_is_not_warm(asked, fleet):
    """Whoever begins to install something makes Dodai forget the key, even if nothing is written then."""
    machines = fleet(1)
    pooling.warm(machines[0], asked.image)
    assert asking.propose(replace(asked, count=1)).placement.warm
    pooling.fail(actions.start_install(machines[0], asked.image, by="bob"), granted=False)
    assert Machine.objects.get().state == "warm"
    assert not asking.propose(replace(asked, count=1)).placement.warm


def test_who_came_meanwhile_keeps_the_machine(asked, fleet):
    """Its install failed, and before the next turn somebody tries again."""
    fleet(1)
    allocation = asking.ask(replace(asked, count=1, owner="ada"), by="tester")
    actions.retry(pooling.fail(of("node1")), by="bob")
    assert turned(allocation).state == State.FAILED
    machine = Machine.objects.get()
    assert (machine.handled_by, machine.cluster, machine.owner) == (str(of("node1")), asked.cluster, "ada")


def test_any_number_of_turns_at_any_time_change_nothing_more(asked, fleet):
    fleet(3)
    allocation = asking.ask(replace(asked, spares=1), by="tester")
    pooling.fail(of("node1"))
    turned(allocation, 5)
    assert Install.objects.count() == 3 and Install.objects.live().count() == 2
    assert Allocation.objects.get().state == State.WORKING


def test_a_fault_in_one_allocation_does_not_hold_up_the_others(asked, fleet, monkeypatch):
    fleet(2)
    first = asking.ask(replace(asked, count=1), by="tester")
    second = asking.ask(replace(asked, count=1), by="tester")
    pooling.succeed(of("node2"))
    take = turns.take

    def faulty(number):
        if number == first.pk:
            raise ZeroDivisionError
        take(number)

    monkeypatch.setattr(turns, "take", faulty)
    assert turned(second).state == State.DONE


def test_an_install_of_an_allocation_is_cancelled_by_hand(asked, fleet):
    fleet(2)
    allocation = asking.ask(replace(asked, count=1, spares=1), by="tester")
    actions.cancel(of("node1"), by="bob")
    pooling.fail(Install.objects.get(machine__name="node1"))
    turned(allocation)
    assert states_of(allocation) == {"node1": Part.FAILED, "node2": Part.WORKING}
