"""Two machines are asked for, one of them is not what the inventory says, and a spare takes its place."""

import re

import pytest

from tests.end_to_end.dodai import INSTALL_SECONDS, Dodai, KeptDisk, switch_off, wait_until

WRONG, RIGHT, SPARE = "practice-1", "practice-2", "practice-3"
READY = """
from machines.models import Cluster, MachineType, Vlan
kind = MachineType.objects.get_or_create(name="asked-for")[0]
# As if erased: installs that failed before on machines in use have left their disks to be erased first.
Machine.objects.update(state="free", image_name="", unerased=False, type=kind)
vlan = Vlan.objects.get_or_create(vid=210, defaults={"name": "asked-for"})[0]
Cluster.objects.get_or_create(name="asked-for", defaults={"vlan": vlan})[0].pk
"""
FOUND = """
from installs.models import Allocation
allocation = Allocation.objects.order_by("-pk").first()
parts = {part.machine.name: [part.state, part.why] for part in allocation.machines.select_related("machine")}
[allocation.state, parts]
"""


@pytest.fixture(scope="module")
def kept(dodai: Dodai) -> KeptDisk:
    for name in (WRONG, RIGHT, SPARE):
        switch_off(dodai, name)
    return KeptDisk.of(dodai, WRONG)


@pytest.fixture(scope="module")
def asked(dodai: Dodai, kept: KeptDisk) -> list:
    """What became of it, by the command that people use."""
    dodai.database(READY)
    disk = f"Disk.objects.filter(machine__name={WRONG!r}, is_root=True)"
    right = dodai.database(f"{disk}.get().serial")
    dodai.database(f"{disk}.update(serial='LABDISK-OF-ANOTHER')")
    words = ("allocate", "asked-for", "tiny", "asked-for", "2", "--spares", "1", "--owner", "ada")
    shown = dodai.manage(*words, input="no\n").stdout
    digest = re.search(r"^plan (\S+)$", shown, re.MULTILINE)
    assert digest, shown
    assert [name for name in (WRONG, RIGHT, SPARE) if name not in shown] == [], shown
    dodai.must(*words, "--confirm", digest[1])
    wait_until(
        lambda: dodai.database(FOUND)[0] not in ("working", "undoing"), seconds=2 * INSTALL_SECONDS,
        what="the end of it", story=lambda: str([dodai.last_install(name) for name in (WRONG, RIGHT, SPARE)]),
    )  # fmt: skip
    dodai.database(f"{disk}.update(serial={right!r})")
    return dodai.database(FOUND)


def test_the_spare_takes_the_place_of_the_one_that_failed(asked) -> None:
    state, parts = asked
    assert state == "done", asked
    assert {name: part for name, (part, _why) in parts.items()} == {WRONG: "failed", RIGHT: "ready", SPARE: "ready"}
    assert "disk: " in parts[WRONG][1]


def test_both_run_the_image_and_are_their_owners(dodai, asked) -> None:
    found = dodai.database("[[m.name, m.state, m.image_name, m.owner, m.cluster and m.cluster.name, m.handled_by] "
                           "for m in Machine.objects.order_by('name')]")  # fmt: skip
    assert found == [
        [WRONG, "free", "", "", None, ""],
        [RIGHT, "in_use", "tiny", "ada", "asked-for", ""],
        [SPARE, "in_use", "tiny", "ada", "asked-for", ""],
    ]
    for name in (RIGHT, SPARE):
        assert f"tiny: up as {name}" in dodai.console(name)


def test_no_byte_of_the_one_that_failed_was_written(dodai, asked, kept) -> None:
    switch_off(dodai, WRONG)
    assert kept.is_untouched()
