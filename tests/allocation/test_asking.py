"""Asking for machines: what is taken, and that nobody gets what somebody else has."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from installs import actions
from installs.allocation import asking
from installs.allocation.lifecycle import Part
from installs.models import Allocation, AllocationMachine, Install
from machines import actions as machine_actions
from machines import upkeep
from machines.lifecycle import State
from machines.models import Cluster, Disk, Interface, Machine, Site, Switch, Vlan
from tests import pooling
from tests.installs.test_races import at_once

pytestmark = pytest.mark.django_db


def parts_of(allocation):
    return {part.machine.name: part.state for part in allocation.machines.select_related("machine")}


def test_free_machines_are_installed_and_spares_are_kept(asked, fleet):
    fleet(4)
    allocation = asking.ask(replace(asked, spares=1, owner="ada"), by="tester")
    assert parts_of(allocation) == {"node1": Part.WORKING, "node2": Part.WORKING, "node3": Part.HELD}
    installs = Install.objects.order_by("machine__name")
    assert [(install.machine.name, install.image, install.requested_by) for install in installs] == [
        ("node1", asked.image, "tester"), ("node2", asked.image, "tester"),
    ]  # fmt: skip
    member, spare = Machine.objects.get(name="node1"), Machine.objects.get(name="node3")
    assert (member.cluster, member.owner, member.state) == (asked.cluster, "ada", State.INSTALLING)
    assert (spare.cluster, spare.owner, spare.handled_by) == (None, "", str(allocation))
    assert [*Interface.objects.order_by("address").values_list("address", "gateway")] == [
        ("", None), ("", None), ("10.2.10.2/24", "10.2.10.1"), ("10.2.10.3/24", "10.2.10.1"),
    ]  # fmt: skip


def test_a_spare_is_in_the_hands_of_its_allocation(asked, fleet):
    fleet(3)
    allocation = asking.ask(replace(asked, spares=1), by="tester")
    spare = Machine.objects.get(name="node3")
    with pytest.raises(actions.Refused, match=f"in the hands of {allocation}"):
        actions.start_install(spare, asked.image, by="somebody")
    with pytest.raises(asking.Refused, match="No machine of the type m1"):
        asking.ask(replace(asked, count=1), by="somebody")


@pytest.mark.parametrize(
    "change",
    [
        {"protected": True}, {"state": State.IN_USE}, {"state": State.ASIDE}, {"state": State.BROKEN},
        {"state": State.RELEASING}, {"state": State.ERASING}, {"state": State.NEW}, {"state": State.RETIRED},
        {"handled_by": "install 7"}, {"unerased": True}, {"inspected_at": None}, {"reserved_for": "bob"},
    ],
)  # fmt: skip
def test_no_machine_is_taken_that_is_not_free_for_it(asked, fleet, change):
    """dodai-compute took whatever was neither used nor being installed: also what had failed or was somebody's."""
    fleet(1)
    Machine.objects.update(**change)
    with pytest.raises(asking.Refused, match="No machine of the type m1 can be had now"):
        asking.ask(replace(asked, count=1), by="tester")
    assert not Allocation.objects.exists() and not Install.objects.exists()


@pytest.mark.parametrize("change", [{"owner": "bob"}, {"cluster": "another"}])
def test_a_free_machine_of_somebody_is_not_taken(asked, fleet, change):
    """Its reinstall failed, or somebody put it where they want it."""
    fleet(1)
    if "cluster" in change:
        change = {"cluster": Cluster.objects.create(name="another")}
    Machine.objects.update(**change)
    with pytest.raises(asking.Refused, match="No machine of the type m1"):
        asking.ask(replace(asked, count=1), by="tester")
    Machine.objects.update(owner="", cluster=asked.cluster)
    asking.ask(replace(asked, count=1), by="tester")


def test_a_reinstall_that_failed_leaves_disks_to_be_erased(asked, fleet):
    (machine,) = fleet(1)
    Machine.objects.update(state="in_use", image_name="theirs")
    pooling.fail(actions.start_install(machine, asked.image, by="ada"))
    machine.refresh_from_db()
    assert (machine.state, machine.unerased) == ("free", True)
    assert not asking.propose(asked).placement.cold


def test_a_disk_that_dodai_never_wrote_is_not_wiped_unasked(asked, fleet):
    (machine,) = fleet(1)
    machine.disks.update(signatures=[{"type": "xfs"}])
    placed = asking.propose(replace(asked, count=1)).placement
    assert not placed.cold and placed.refused["node1"].detail == "Its disk carries xfs, which Dodai did not write."


def test_a_reservation_is_for_its_owner_and_ends(asked, fleet):
    fleet(2)
    Machine.objects.filter(name="node1").update(reserved_for="bob")
    Machine.objects.filter(name="node2").update(reserved_for="eve", reserved_until=now() - timedelta(seconds=1))
    placed = asking.propose(replace(asked, owner="bob")).placement
    assert placed.cold == ("node1", "node2")
    assert asking.propose(asked).placement.cold == ("node2",)


def test_a_machine_whose_last_install_failed_comes_last(asked, fleet):
    first, second = fleet(2)
    pooling.fail(actions.start_install(first, asked.image, by="tester"))
    assert asking.propose(replace(asked, count=1)).placement.cold == (second.name,)


def test_a_machine_that_cannot_be_installed_makes_way_for_one_that_can(asked, fleet):
    fleet(3)
    Machine.objects.get(name="node1").disks.update(is_root=False)
    proposal = asking.propose(asked)
    assert proposal.placement.cold == ("node2", "node3") and not proposal.problems
    assert "marked as root disk" in proposal.placement.refused["node1"].detail


def test_fewer_than_asked_for_unless_it_is_all_or_nothing(asked, fleet):
    fleet(1)
    with pytest.raises(asking.Refused, match="Only 1 of 2 machines can be had now"):
        asking.ask(replace(asked, all_or_nothing=True), by="tester")
    assert not Allocation.objects.exists() and not Machine.objects.exclude(handled_by="").exists()
    assert asking.propose(asked).placement.missing == 1
    assert parts_of(asking.ask(asked, by="tester")) == {"node1": Part.WORKING}


def test_what_was_not_shown_is_not_taken(asked, fleet):
    fleet(3)
    shown = asking.propose(asked).digest
    upkeep.protect(Machine.objects.get(name="node1"), protected=True)
    with pytest.raises(asking.Refused, match="look at the new one"):
        asking.ask(asked, by="tester", approved=shown)
    assert not Allocation.objects.exists()
    asking.ask(asked, by="tester", approved=asking.propose(asked).digest)


def test_of_a_machine_that_is_wiped_the_disk_and_all_that_is_done_were_shown(asked, fleet):
    (machine,) = fleet(1)
    wanted = replace(asked, count=1)
    other = Disk.objects.create(machine=machine, serial="DATA", size_bytes=100 << 30, path="/dev/sdb")
    shown = asking.propose(wanted).digest
    machine_actions.choose_root_disk(other)
    with pytest.raises(asking.Refused, match="look at the new one"):
        asking.ask(wanted, by="tester", approved=shown)
    shown = asking.propose(wanted).digest
    wanted.image.first_boot_commands = "true"
    wanted.image.save()
    with pytest.raises(asking.Refused, match="look at the new one"):
        asking.ask(wanted, by="tester", approved=shown)
    assert asking.ask(wanted, by="tester", approved=asking.propose(wanted).digest)


def test_a_cap_refuses_the_whole_and_takes_nothing(asked, fleet, settings):
    settings.MANY_INSTALLS = 1
    fleet(3)
    with pytest.raises(asking.Refused, match="At most 1 machine is installed by one click, these are 2"):
        asking.ask(asked, by="tester")
    assert not Allocation.objects.exists() and not Machine.objects.exclude(handled_by="").exists()


def test_a_cluster_without_room_refuses_the_whole(asked, fleet):
    fleet(3)
    asked.cluster.last_address = "10.2.10.2"
    asked.cluster.save()
    with pytest.raises(asking.Refused, match=r"All addresses of the cluster web \(10.2.10.0/24\) are taken"):
        asking.ask(asked, by="tester")
    assert not Install.objects.exists() and not Machine.objects.exclude(cluster=None).exists()


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 201}, {"spares": -1}, {"spares": 201}])
def test_numbers_that_nobody_means_are_refused(asked, fleet, wrong):
    fleet(1)
    with pytest.raises(asking.Refused, match="Ask for 1 to 200 machines"):
        asking.ask(replace(asked, **wrong), by="tester")


def test_an_address_that_a_person_entered_stays(asked, fleet):
    fleet(1)
    Interface.objects.update(address="192.0.2.7/24")
    asking.ask(replace(asked, count=1), by="tester")
    assert Interface.objects.get().address == "192.0.2.7/24"


def patient(call):
    """On a busy computer SQLite lets somebody wait for longer than its time: they ask again."""

    def ask():
        for _ in range(20):
            try:
                return call()
            except OperationalError as exc:
                if "locked" not in str(exc):
                    raise
        raise TimeoutError

    return ask


@pytest.mark.django_db(transaction=True)
def test_of_64_at_once_no_two_get_the_same_machine(asked, fleet):
    fleet(40)
    one = replace(asked, count=1)
    results = at_once(*[patient(lambda n=n: asking.ask(one, by=f"user{n}")) for n in range(64)])
    got = [result for result in results if isinstance(result, Allocation)]
    refused = [result for result in results if isinstance(result, asking.Refused)]
    assert (len(got), len(refused)) == (40, 24), results
    taken = AllocationMachine.objects.filter(allocation__in=got)
    assert taken.count() == 40 == len(set(taken.values_list("machine", flat=True)))
    addresses = [*Interface.objects.values_list("address", flat=True)]
    assert len(set(addresses)) == 40 and "" not in addresses
    assert Install.objects.live().count() == 40


@pytest.mark.django_db(transaction=True)
def test_asking_and_installing_at_once_give_a_machine_to_one_of_them(asked, fleet):
    machines = fleet(8)
    calls = [patient(lambda: asking.ask(replace(asked, count=8), by="ada"))]
    calls += [patient(lambda m=m: actions.start_install(m, asked.image, by="bob")) for m in machines]
    results = at_once(*calls)
    assert all(isinstance(each, Allocation | Install | asking.Refused | actions.Refused) for each in results), results
    assert Install.objects.live().count() == len({install.machine_id for install in Install.objects.live()})
    bobs = Install.objects.filter(requested_by="bob").count()
    adas = AllocationMachine.objects.filter(state=Part.WORKING).count()
    assert bobs + adas == 8


def test_looking_asks_no_more_of_the_database_for_more_machines(asked, fleet, django_assert_max_num_queries):
    fleet(12)
    Machine.objects.filter(name__in=[f"node{n}" for n in range(3, 13)]).update(protected=True)
    with django_assert_max_num_queries(60):  # plans of the two that are chosen, and some for all
        asking.propose(asked)


def _cabled(machines, switch, asked):
    """As a fleet is: installed before, with cables and bonds, and put where it is wanted."""
    for number, machine in enumerate(machines):
        if number % 3:
            machine.interfaces.create(mac=f"52:54:00:0f:{number:02x}:01", bond="bond0")
            machine.links.create(kind="bond", name="bond0", mode="802.3ad")
        machine.interfaces.update(switch=switch, switch_port=f"p{number}")
        machine.disks.update(signatures=[{"type": "ext4"}])
        machine.cluster = asked.cluster
        machine.save()
        Install.objects.create(
            machine=machine, image=asked.image, method="file-tree", state="installed", granted_at=now(),
            granted_boot_id="00000000-0000-0000-0000-000000000001",
        )  # fmt: skip


def test_a_plan_of_many_machines_asks_no_more_often_than_one_of_few(asked, fleet):
    """It is worked out anew for each live update of a page, and while all machines of the type are locked."""
    _cabled(fleet(12), Switch.objects.create(name="tor", driver="fake", vlans="210", ports="p0..99"), asked)
    Site.objects.update(provision_vlan=Vlan.objects.create(vid=100, name="boot"))
    asked_often = []
    for count in (2, 12):
        with CaptureQueriesContext(connection) as queries:
            proposal = asking.propose(replace(asked, count=count))
        assert len(proposal.placement.cold) == count
        asked_often.append(len(queries))
    assert asked_often[1] == asked_often[0]
