"""Plans: what would be wiped, and what stands in the way."""

import pytest

from installs import actions, plan
from installs.models import Install
from machines.models import Disk, Machine
from tests import installing, pooling

pytestmark = pytest.mark.django_db


@pytest.fixture
def image(db):
    return installing.make_image()


def test_a_plan_names_the_disk(machine, image):
    made = plan.for_install(machine, image)
    assert made.is_possible
    assert made.frozen["disk"] == {"serial": "DISK1", "wwn": "", "size_bytes": 100 * installing.GIB}


def problem(machine: Machine, image) -> str:
    made = plan.for_install(Machine.objects.get(pk=machine.pk), image)
    assert not made.is_possible
    with pytest.raises(actions.Refused):
        actions.start_install(machine, image, by="tester")
    return " ".join(made.problems)


def test_no_matching_disk(machine, image):
    machine.disks.update(is_root=False)
    assert "0 disks of node1 are marked as root disk" in problem(machine, image)


def test_two_matching_disks(machine, image):
    Disk.objects.create(machine=machine, serial="DISK2", is_root=True, path="/dev/sdb")
    assert "2 disks of node1" in problem(machine, image)


def test_a_disk_that_is_too_small(machine, image):
    machine.disks.update(size_bytes=1 << 20)
    assert "needs" in problem(machine, image)


def test_a_disk_that_was_taken_out(machine, image):
    machine.disks.update(path="")
    assert "was not in node1" in problem(machine, image)


def test_a_machine_that_was_never_looked_at(machine, image):
    Machine.objects.update(inspected_at=None)
    assert "inspect it" in problem(machine, image)


def test_a_protected_machine(machine, image):
    Machine.objects.update(protected=True)
    assert "protected" in problem(machine, image)


def test_a_machine_set_aside(machine, image):
    Machine.objects.update(state="aside")
    assert "set aside" in problem(machine, image)


def test_an_image_whose_file_is_gone(machine, image):
    image.sha256 = "0" * 64
    image.save()
    assert "import the image again" in problem(machine, image)


def test_an_image_that_needs_more_memory(machine, image):
    Machine.objects.update(facts={"memory_bytes": 1 << 28})
    image.min_memory_mib = 512
    image.save()
    assert "needs 512 MiB of memory, node1 has 256" in problem(machine, image)


def test_no_ramdisk_yet(machine, image, monkeypatch):
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: None)
    assert "ramdisk is not built" in problem(machine, image)


def test_the_digest_changes_with_what_would_be_wiped(machine, image):
    before = plan.for_install(machine, image).digest
    assert plan.for_install(machine, image).digest == before
    machine.disks.update(serial="ANOTHER")
    assert plan.for_install(machine, image).digest != before


def test_a_machine_in_use_needs_its_name_typed(machine, image):
    machine.state = "in_use"
    assert plan.for_install(machine, image).needs_typed_name


def test_what_holds_data_of_somebody_is_installed_by_who_types_its_name_and_by_nobody_else(machine, image):
    Machine.objects.update(unerased=True)
    made = plan.for_install(Machine.objects.get(), image)
    assert (made.problems, made.frozen["is_used"]) == ([], True)
    assert made.typed_because == "The disks of node1 hold what somebody else must not see, and are not erased."
    with pytest.raises(actions.Refused, match="node1: its disks have to be erased first"):
        actions.start_install(machine, image, by="the pool", for_pool=True)
    assert not Install.objects.exists()


@pytest.mark.parametrize(("ends", "state"), [(pooling.succeed, "in_use"), (pooling.fail, "free")])
def test_only_an_erasure_makes_it_erased(machine, image, ends, state):
    """An install writes one disk of perhaps some, and not all of that."""
    Machine.objects.update(unerased=True)
    ends(actions.start_install(machine, image, by="ada"))
    machine.refresh_from_db()
    assert (machine.state, machine.unerased) == (state, True)
