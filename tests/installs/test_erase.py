"""Erasing the disks of a released machine: plan, grant, report, record, and what becomes of the machine."""

import itertools
import json
import random
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils.timezone import now

from installs import actions, plan, sweep
from installs.erasing import planned, records, report
from installs.models import Erasure, Event, Install
from installs.releasing import due, erasing
from machines import actions as machine_actions
from machines import facts, upkeep
from machines.history import changes_of
from machines.models import Beat, Cluster, Disk, Machine
from machines.power import fake
from machines.power.base import Power
from tests import erased, installing

pytestmark = pytest.mark.django_db

GIB = 1 << 30
UNKNOWN = {"path": "/dev/sdx", "serial": "NEW", "wwn": "", "size_bytes": 1 << 30}
SECOND = {"path": "/dev/nvme0n1", "serial": "NVME1", "wwn": "eui.0025", "size_bytes": 200 * GIB}


@pytest.fixture
def released(machine) -> Machine:
    """Somebody had it, with two disks."""
    Disk.objects.create(machine=machine, **SECOND, signatures=[{"type": "ext4"}])
    cluster = Cluster.objects.create(name="web")
    Machine.objects.filter(pk=machine.pk).update(
        state="releasing", owner="ann", image_name="debian", cluster=cluster, erase_at=now() + timedelta(hours=1)
    )
    machine.refresh_from_db()
    return machine


@pytest.fixture
def asked(released, server, steps) -> Install:
    """It runs the script, and is about to ask for the grant."""
    install = erasing.erase(released, by="ann")
    steps()
    assert server.boot()
    assert server.say("install") == "applied"
    return fresh(install)


@pytest.fixture
def granted(asked, server) -> Install:
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    return fresh(asked)


def fresh(install: Install) -> Install:
    return Install.objects.select_related("machine").get(pk=install.pk)


def to_its_end(install: Install, steps) -> Install:
    while fresh(install).is_live:
        Install.objects.filter(state="waiting").update(look_again_at=now())
        Install.objects.update(lease_until=None)
        sweep.sweep()
        steps()
    return fresh(install)


def disks_of(machine: Machine) -> list[dict]:
    return installing.facts_of(machine, "")["disks"]


def test_a_released_machine_is_erased_and_free(granted, released, server, steps):
    fake.states["node1"] = Power.ON
    assert server.say("progress", {"phase": "mark", "done_bytes": 0, "total_bytes": 0}) == "applied"
    assert server.say("progress", {"phase": "erase", "done_bytes": 1, "total_bytes": 2}) == "applied"
    assert server.say("deleted", erased.honest(granted.plan)) == "applied"
    assert to_its_end(granted, steps).state == "installed"
    released.refresh_from_db()
    assert (released.state, released.owner, released.image_name, released.cluster) == ("free", "", "", None)
    assert (released.handled_by, released.erase_at, released.unerased) == ("", None, False)
    assert fake.states["node1"] == Power.OFF
    assert not [disk for disk in released.disks.all() if disk.signatures]
    assert [(row.by, row.words) for row in changes_of(released)] == [
        ("ann", "cluster web → nothing, owner ann → nothing")
    ]


def test_d11_no_machine_is_deleted_whose_disks_nobody_wiped(granted, released, server, steps):
    """dodai-compute's delete.sh reported `deleted` while the line that wiped was commented out."""
    assert server.say("deleted", {}) == "applied"
    assert to_its_end(granted, steps).cause == "not-erased"
    released.refresh_from_db()
    assert (released.state, released.unerased) == ("broken", True)
    assert "is not in the report" in released.broken_why
    assert not Event.objects.filter(kind="machine", name="deleted").exists()


def test_what_is_asked_for_is_under_way_at_once(released):
    install = erasing.erase(released, by="ann")
    released.refresh_from_db()
    assert (released.state, released.handled_by, released.erase_at) == ("erasing", str(install), None)
    with pytest.raises(actions.Refused, match="is in the hands of"):
        erasing.erase(released, by="bob")


def test_a_free_machine_is_erased_only_where_its_disks_hold_something(released, server, steps):
    Machine.objects.update(state="free", unerased=False)
    with pytest.raises(actions.Refused, match="is free: that cannot be done with it now"):
        erasing.erase(released, by="ann")
    Machine.objects.update(unerased=True)
    install = erasing.erase(released, by="ann")
    steps()
    assert server.boot()
    server.say("install")
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    server.say("deleted", erased.honest(fresh(install).plan))
    assert to_its_end(install, steps).state == "installed"
    assert (Machine.objects.get().state, Machine.objects.get().unerased) == ("free", False)


def test_all_disks_that_stay_in_are_planned_and_no_other(released):
    Disk.objects.create(machine=released, serial="STICK", size_bytes=GIB, path="/dev/sdz", is_removable=True)
    made = plan.for_operation(released, "erase", {})
    assert made.problems == []
    assert [disk["serial"] for disk in made.frozen["disks"]] == ["DISK1", "NVME1"]
    for disk, places in zip(made.frozen["disks"], made.frozen["samples"], strict=True):
        assert places[0] == 0 and places[-1] == disk["size_bytes"] - planned.SAMPLE_BYTES
        assert len(set(places)) == planned.BETWEEN + 2 == 64


@pytest.mark.parametrize("state", ["free", "in_use", "warm", "broken", "new"])
def test_only_what_was_released_is_erased(released, state):
    Machine.objects.update(state=state)
    with pytest.raises(actions.Refused, match="that cannot be done with it now"):
        erasing.erase(released, by="ann")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda machine: Machine.objects.update(protected=True), "is protected"),
        (lambda machine: machine.disks.filter(serial="NVME1").update(path=""), "were not in it at its last inspection"),
        (lambda machine: machine.disks.filter(serial="NVME1").update(size_bytes=None), "NVME1"),
        (lambda machine: machine.disks.all().delete(), "No disk of node1 is known"),
        (lambda machine: machine.bmc.delete(), "no power driver"),
    ],
)
def test_what_stands_in_the_way_is_said_and_the_machine_stays(released, change, words):
    change(released)
    with pytest.raises(actions.Refused, match=words):
        erasing.erase(Machine.objects.get(), by="ann")
    assert Machine.objects.get().state == "releasing"


LUN = {"serial": "LUN7", "wwn": "0x600508b1001c0007", "size_bytes": 1 << 40, "path": "/dev/sdb"}
BARE = {"serial": "", "wwn": ""}


def another(*, state: str = "in_use", **disk: object) -> Machine:
    other = installing.make_machine("node2", number=2, state=state)
    Disk.objects.create(machine=other, **LUN | {"seen_at": now()} | disk)
    return other


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({}, {}),
        ({}, {"serial": ""}),
        ({}, {"wwn": "0X600508B1001C0007", "serial": "other"}),
        ({"wwn": ""}, {}),
        ({}, {"serial": "lun7", "wwn": ""}),
        ({}, {"wwn": "as somebody wrote it", "seen_at": None}),
    ],
)
@pytest.mark.parametrize("state", ["in_use", "free", "broken"])
def test_a_disk_that_another_machine_has_as_well_is_not_erased(released, mine, theirs, state):
    Disk.objects.create(machine=released, **LUN | mine)
    another(state=state, **theirs)
    with pytest.raises(actions.Refused, match=r"in other machines as well: LUN7 \(node2\)"):
        erasing.erase(released, by="ann")
    assert Machine.objects.get(pk=released.pk).state == "releasing"


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (BARE | {"serial": "SN0001"}, BARE | {"serial": "SN0002"}),
        (BARE | {"serial": "0123456789"}, BARE | {"serial": "0123456789"}),
        ({"wwn": "0x0000000000000000"}, {"serial": "other", "wwn": "0x0000000000000000"}),
        ({}, {"wwn": "0x600508b1001c0008"}),  # the serial number is that of the array
    ],
)
def test_numbers_that_name_no_disk_make_none_the_same(released, mine, theirs):
    Disk.objects.create(machine=released, **LUN | mine)
    another(**theirs)
    assert erasing.erase(released, by="ann")


def test_a_disk_of_a_retired_machine_and_one_over_two_paths_are_nobody_elses(released):
    Disk.objects.create(machine=released, **LUN)
    Disk.objects.create(machine=released, **LUN | {"serial": "LUN7-B", "path": "/dev/sdc"})
    another(state="retired")
    assert erasing.erase(released, by="ann")


NO_DISK = {"disks": []}


@pytest.fixture
def diskless(released) -> Machine:
    """It ran from memory."""
    released.disks.all().delete()
    Machine.objects.update(image_name="live", facts=NO_DISK)
    released.refresh_from_db()
    return released


def test_a_machine_without_disks_is_free_once_the_ramdisk_found_none(diskless, server, steps):
    install = erasing.erase(diskless, by="ann")
    steps()
    assert server.boot()
    server.say("install")
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    assert "nothing to erase" in install.events.get(name="granted").text
    assert server.say("deleted", {"disks": []}) == "applied"
    assert to_its_end(install, steps).state == "installed"
    diskless.refresh_from_db()
    assert (diskless.state, diskless.owner, diskless.unerased) == ("free", "", False)
    assert not Erasure.objects.exists()


@pytest.mark.parametrize("disk", [UNKNOWN, UNKNOWN | {"serial": ""}])
def test_a_machine_without_disks_in_which_the_ramdisk_finds_one_is_not_erased(diskless, server, steps, disk):
    install = erasing.erase(diskless, by="ann")
    steps()
    assert server.boot()
    server.say("install")
    answer = server.ask_grant(disks=[disk])
    assert "DODAI_GRANTED=no" in answer and "the disk /dev/sdx" in answer
    assert to_its_end(install, steps).cause == "disk"
    diskless.refresh_from_db()
    assert (diskless.state, diskless.unerased) == ("broken", True)


@pytest.mark.parametrize("told", [{}, {"disks": [UNKNOWN]}])
def test_a_machine_without_disks_that_tells_of_others_is_not_erased(diskless, server, steps, told):
    install = erasing.erase(diskless, by="ann")
    steps()
    assert server.boot()
    server.say("install")
    server.ask_grant()
    server.say("deleted", told)
    assert to_its_end(install, steps).cause == "not-erased"


@pytest.mark.parametrize("facts", [{}, {"disks": [UNKNOWN]}, {"disks": [UNKNOWN | {"serial": ""}]}])
def test_no_disk_in_the_inventory_is_no_proof_that_there_is_none(diskless, facts):
    Machine.objects.update(facts=facts)
    with pytest.raises(actions.Refused, match="No disk of node1 is known"):
        erasing.erase(Machine.objects.get(), by="ann")


def test_a_machine_without_disks_that_was_retired_and_brought_back_can_be_erased(diskless):
    upkeep.mark_broken(diskless, by="ann", why="a fan")
    upkeep.retire(Machine.objects.get())
    found = facts.parse(installing.facts_of(diskless, ""))
    machine_actions.apply_facts(upkeep.bring_back(Machine.objects.get()), found)
    back = Machine.objects.get()
    assert (back.state, back.unerased) == ("free", True)
    assert erasing.erase(back, by="ann")


SIZES = [4096, 8192, 12288, 5 * 4096 + 512, 1 << 20, (1 << 32) + 512, 20_000_000_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_samples_are_apart_on_whole_blocks_and_cannot_be_foreseen(size):
    places = planned.places(size)
    assert places == sorted(set(places))
    assert all(at % 4096 == 0 for at in places[:-1]) and places[-1] == size - 4096 and places[0] == 0
    assert all(two - one >= 4096 for one, two in itertools.pairwise(places[:-1]))
    assert size < 1 << 30 or planned.places(size) != places


# The grant.


def test_one_grant_is_for_all_disks_and_says_nothing_secret(asked, server):
    answer = server.ask_grant()
    assert answer == server.ask_grant()
    assert "DODAI_GRANTED=yes" in answer and "first-boot" not in answer
    assert fresh(asked).first_boot_hash == ""
    assert "DISK1, NVME1" in asked.events.get(name="granted").text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda disks: disks.pop(), "0 disks of this machine are the disk NVME1 of the plan"),
        (lambda disks: disks[1].update(serial="OTHER"), "0 disks of this machine are the disk NVME1"),
        (lambda disks: disks[1].update(wwn="eui.0026"), "0 disks of this machine are the disk NVME1"),
        (lambda disks: disks[1].update(size_bytes=100 * GIB), "size bytes is"),
        (lambda disks: disks.append(dict(disks[1])), "2 disks of this machine are the disk NVME1"),
        (lambda disks: disks.append(UNKNOWN), "(NEW) is not in the inventory"),
        (lambda disks: disks.append(UNKNOWN | {"serial": ""}), "(without a number) is not in the inventory"),
        (lambda disks: disks.clear(), "0 disks of this machine"),
    ],
)  # fmt: skip
def test_other_disks_than_planned_get_no_grant(asked, released, server, steps, change, words):
    disks = disks_of(released)
    change(disks)
    answer = server.ask_grant(disks=disks)
    assert "DODAI_GRANTED=no" in answer and words in answer
    ended = to_its_end(asked, steps)
    assert (ended.cause, ended.granted_at) == ("disk", None)
    released.refresh_from_db()
    assert (released.state, released.unerased) == ("broken", True)


def test_a_disk_that_another_machine_got_meanwhile_gets_no_grant(asked, released, server, steps):
    another(serial=SECOND["serial"], wwn=SECOND["wwn"])
    answer = server.ask_grant()
    assert "DODAI_GRANTED=no" in answer and "the disk NVME1 is in node2 as well" in answer
    assert to_its_end(asked, steps).granted_at is None


def test_a_stick_that_somebody_left_in_it_is_nobodys_concern(asked, released, server):
    stick = {"path": "/dev/sdz", "serial": "STICK", "wwn": "", "size_bytes": GIB, "removable": True}
    assert "DODAI_GRANTED=yes" in server.ask_grant(disks=[*disks_of(released), stick])


def test_another_boot_is_not_granted_what_one_has(granted, server):
    first = server.token
    assert server.boot()
    assert "DODAI_GRANTED=no" in server.ask_grant()
    assert server.say("deleted", erased.honest(granted.plan), status=410) == "ended"
    server.token = first
    assert server.say("deleted", erased.honest(granted.plan)) == "applied"


def test_who_was_not_granted_erased_nothing(asked, server):
    assert server.say("deleted", erased.honest(asked.plan), status=404) == "unknown"
    assert not Erasure.objects.exists()


def test_no_grant_after_all_was_reported(granted, server):
    server.say("deleted", erased.honest(granted.plan))
    server.ask_grant(status=410)


def test_an_inventory_that_changed_meanwhile_gets_no_grant(asked, released, server):
    facts = disks_of(released)
    released.disks.filter(serial="NVME1").delete()
    assert "the disk changed after the plan was approved" in server.ask_grant(disks=facts)


# The report.


NO_PROOF = [
    {"method": ""}, {"method": "dd"}, {"method": None}, {"method": ["overwrite"]}, {"samples": 63},
    {"samples": "64"},
    {"samples": None}, {"marked": 63}, {"marked": None}, {"kept": 1}, {"kept": True}, {"kept": None}, {"kept": -1},
    {"bad_after": 1}, {"bad_after": None}, {"bad_after": "0"}, {"bad_after": 0.0}, {"unread_after": 1},
    {"is_there": False}, {"is_there": 1}, {"pattern": "55"}, {"pattern": "ff"}, {"pattern": {}}, {"pattern": None},
    {"after_sha256": "0" * 64}, {"after_sha256": None}, {"size_bytes": 1}, {"size_bytes": None},
    {"serial": "OTHER"},
    {"serial": None}, {"wwn": "other"},
]  # fmt: skip
NO_DISKS = [
    None,
    {},
    "all",
    7,
    [],
    [7],
    [None],
    ["DISK1", "NVME1"],
    [[{}]],
    [{}] * 2,
    [{"serial": {}, "wwn": []}] * 1000,
]


def test_a_report_that_proves_nothing_is_not_believed(released):
    frozen = plan.for_operation(released, "erase", {}).frozen
    told = erased.honest(frozen)
    assert report.why_not(frozen, told, report.judge(frozen, told)) == ""
    for change in NO_PROOF:
        told = erased.honest(frozen, **change)
        judged = report.judge(frozen, told)
        assert [bool(each.problem) for each in judged] == [True, False], change
        assert report.why_not(frozen, told, judged)


@pytest.mark.parametrize("change", NO_PROOF[::7])
def test_a_report_that_proves_nothing_ends_as_failed(granted, released, server, steps, change):
    assert server.say("deleted", erased.honest(granted.plan, **change)) == "applied"
    ended = to_its_end(granted, steps)
    assert (ended.state, ended.cause) == ("failed", "not-erased")
    released.refresh_from_db()
    assert (released.state, released.unerased, released.owner) == ("broken", True, "ann")
    assert [(kept.serial, kept.is_proven) for kept in Erasure.objects.order_by("serial")] == [
        ("DISK1", False), ("NVME1", True),
    ]  # fmt: skip


def test_a_report_of_another_shape_proves_nothing(released):
    frozen = plan.for_operation(released, "erase", {}).frozen
    for disks in NO_DISKS:
        judged = report.judge(frozen, {"disks": disks})
        assert all(each.problem for each in judged) and len(judged) == 2
        assert report.why_not(frozen, {"disks": disks}, judged)


@pytest.mark.parametrize("disks", NO_DISKS[-2:])
def test_a_report_of_another_shape_ends_as_failed(granted, released, server, steps, disks):
    assert server.say("deleted", {"disks": disks}) == "applied"
    assert to_its_end(granted, steps).cause == "not-erased"
    assert Machine.objects.get().state == "broken"
    assert Erasure.objects.filter(is_proven=False).count() == 2


@pytest.mark.parametrize("missing", [0, 1])
def test_a_disk_that_is_missing_in_the_report_ends_it_as_failed(granted, server, steps, missing):
    told = erased.honest(granted.plan)
    del told["disks"][missing]
    server.say("deleted", told)
    assert "is not in the report" in to_its_end(granted, steps).error


def test_a_disk_twice_or_one_more_ends_it_as_failed(granted, server, steps):
    told = erased.honest(granted.plan)
    told["disks"].append(told["disks"][0] | {"kept": 5})
    server.say("deleted", told)
    assert "in the report twice" in to_its_end(granted, steps).error


def test_a_disk_of_nobody_in_the_report_ends_it_as_failed(granted, server, steps):
    told = erased.honest(granted.plan)
    told["disks"].append(told["disks"][0] | {"serial": "OTHER"})
    server.say("deleted", told)
    assert "other disks than those of the plan" in to_its_end(granted, steps).error


def test_a_report_that_comes_again_is_counted_only(granted, server):
    assert server.say("deleted", erased.honest(granted.plan)) == "applied"
    assert server.say("deleted", erased.honest(granted.plan)) == "duplicate"
    assert Erasure.objects.count() == 2


def test_a_cancelled_erase_leaves_a_machine_that_has_to_be_erased_again(granted, released, server, steps):
    actions.cancel(granted, by="ann")
    assert to_its_end(granted, steps).state == "cancelled"
    released.refresh_from_db()
    assert (released.state, released.unerased, released.broken_by) == ("broken", True, "ann")
    assert upkeep.repaired(released).state == "releasing"
    again = erasing.erase(released, by="bob")
    steps()
    assert server.boot()
    server.say("install")
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    server.say("deleted", erased.honest(fresh(again).plan))
    assert to_its_end(again, steps).state == "installed"
    assert Machine.objects.get().state == "free"
    assert again.plan["samples"] != granted.plan["samples"]


def test_a_machine_that_falls_silent_in_the_middle_is_not_erased(granted, released, steps):
    Install.objects.update(quiet_until=now() - timedelta(seconds=1))
    sweep.sweep()
    ended = to_its_end(granted, steps)
    assert ended.cause == "silent" and "fell silent" in ended.error
    assert Machine.objects.get().state == "broken"


def test_what_fails_once_all_is_proven_leaves_nobodys_data(granted, released, server, steps):
    assert server.say("deleted", erased.honest(granted.plan)) == "applied"
    actions.cancel(granted, by="ann")
    assert to_its_end(granted, steps).state == "cancelled"
    released.refresh_from_db()
    assert (released.state, released.unerased, released.owner, released.image_name) == ("broken", False, "", "")
    assert released.broken_why.startswith("Erased, but")
    assert upkeep.repaired(released).state == "new"


# Records.


def kept_of(install: Install, server) -> Erasure:
    server.say("deleted", erased.honest(install.plan))
    return Erasure.objects.get(serial="DISK1")


def test_a_record_says_what_was_done_to_which_disk(granted, released, server):
    record = kept_of(granted, server)
    assert records.is_genuine(record)
    said = records.facts_of(record)
    wanted = {
        "machine": "node1", "machine_serial": "SN1", "serial": "DISK1", "wwn": "", "size_bytes": 100 * GIB,
        "method": "overwrite", "level": "Clear", "proven": True, "pattern": "00", "places": granted.plan["samples"][0],
        "non_zero_before": 3, "asked_by": "ann", "seconds": 7, "attempt": granted.pk,
    }  # fmt: skip
    assert {name: said[name] for name in wanted} == wanted
    assert [entry["method"] for entry in said["tried"]] == ["ata-secure", "overwrite"]
    assert said["granted_at"] < said["reported_at"]


@pytest.mark.parametrize(
    ("method", "level"),
    [("nvme-sanitize-crypto", "Purge"), ("ata-enhanced", "Purge"), ("ata-secure", "Clear"), ("discard", "Clear")],
)
def test_the_level_is_that_of_the_method(granted, server, method, level):
    server.say("deleted", erased.honest(granted.plan, method=method))
    assert records.facts_of(Erasure.objects.get(serial="DISK1"))["level"] == level


def test_a_disk_that_was_not_erased_has_no_level(granted, server):
    server.say("deleted", erased.honest(granted.plan, kept=1))
    said = records.facts_of(Erasure.objects.get(serial="DISK1"))
    assert (said["level"], said["proven"]) == ("", False) and "still holds 1 of 64 marks" in said["problem"]


def test_every_change_of_a_record_shows(granted, server):
    record = kept_of(granted, server)
    text = record.text
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    for at in chance.sample(range(len(text)), 100):
        record.text = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        assert not records.is_genuine(record), at
    record.text = text
    assert records.is_genuine(record)


ALTERED = [
    {"is_proven": False}, {"serial": "OTHER"}, {"wwn": "x"}, {"machine_name": "node2"}, {"signature": ""},
    {"signature": "x"}, {"signature": "QUJD"}, {"text": ""}, {"text": "{}"},
]  # fmt: skip


def test_a_record_whose_columns_were_altered_shows_it(granted, server):
    record = kept_of(granted, server)
    for change in ALTERED:
        was = {name: getattr(record, name) for name in change}
        for values, is_genuine in ((change, False), (was, True)):
            for name, value in values.items():
                setattr(record, name, value)
            assert records.is_genuine(record) is is_genuine, change


def test_the_signature_of_one_record_fits_no_other(granted, server):
    record = kept_of(granted, server)
    record.signature = Erasure.objects.get(serial="NVME1").signature
    assert not records.is_genuine(record)


def test_a_record_outlives_its_machine_and_its_attempt(granted, released, server, steps):
    record = kept_of(granted, server)
    to_its_end(granted, steps)
    Install.objects.all().delete()
    Machine.objects.all().delete()
    record.refresh_from_db()
    assert (record.machine, record.install, record.machine_name) == (None, None, "node1")
    assert records.is_genuine(record)


def test_long_words_are_cut_and_odd_ones_are_kept_out(granted, server):
    odd = {"words": "x" * 5000, "drive": ["a"], "tried": [7, {"method": {}, "words": "y" * 5000}] * 40, "seconds": -1}
    server.say("deleted", erased.honest(granted.plan, **odd))
    said = records.facts_of(Erasure.objects.get(serial="DISK1"))
    assert said["proven"] and len(said["words"]) == 400 and said["drive"] == "" and said["seconds"] is None
    assert len(said["tried"]) == 20 and len(json.dumps(said)) < 20_000


# Time.


def test_what_is_due_is_erased_once(released):
    assert due.erase_due() == 0
    Machine.objects.update(erase_at=now() - timedelta(seconds=1))
    assert (due.erase_due(), due.erase_due()) == (1, 0)
    assert Install.objects.get().requested_by == due.BY
    assert Machine.objects.get().state == "erasing"


def test_what_was_repaired_waits_for_somebody(released):
    Machine.objects.update(erase_at=None)
    assert due.erase_due() == 0


def test_what_cannot_be_erased_now_stays_released_and_is_tried_again(released):
    Machine.objects.update(erase_at=now() - timedelta(seconds=1), protected=True)
    assert due.erase_due() == 0
    released.refresh_from_db()
    assert released.state == "releasing" and released.erase_at > now() + timedelta(minutes=4)
    Machine.objects.update(erase_at=now() - timedelta(seconds=1), protected=False)
    assert due.erase_due() == 1


@pytest.mark.django_db(transaction=True)
def test_of_several_watchdogs_one_erases(released):
    Machine.objects.update(erase_at=now() - timedelta(seconds=1))
    ready, began = threading.Barrier(6), []

    def watch() -> None:
        try:
            ready.wait(30)
            began.append(due.erase_due())
        finally:
            connection.close()

    threads = [threading.Thread(target=watch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(began) == [0, 0, 0, 0, 0, 1]
    assert Install.objects.count() == 1
    released.refresh_from_db()
    assert released.state == "erasing"


# The command.


def test_records_are_shown_as_valid_or_altered(granted, server, capsys):
    told = erased.honest(granted.plan)
    told["disks"][1] |= {"kept": 2}
    server.say("deleted", told)
    call_command("erasures")
    lines = {line.split("  ")[2]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["DISK1"].endswith("overwrite  Clear  valid") and "NOT ERASED" in lines["NVME1"]
    Erasure.objects.filter(serial="DISK1").update(machine_name="node2")
    call_command("erasures", disk="DISK1")
    assert capsys.readouterr().out.endswith("node2  DISK1  ALTERED\n")
    call_command("erasures", machine="node1", json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["valid"] and json.loads(json.loads(line)["record"])["serial"] == "NVME1"
    call_command("erasures", limit=1)
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("hours", [2, -2])
def test_a_step_of_the_clock_moves_the_end_of_the_time_to_undo(released, hours):
    until, step = released.erase_at, timedelta(hours=hours)
    sweep.beat()
    Beat.objects.update(at=now() - step)  # the wall clock jumped, the boot clock did not
    Machine.objects.update(erase_at=until - step)
    assert due.erase_due() == 0
    assert abs(Machine.objects.get().erase_at - until) < timedelta(seconds=10)


def test_what_was_released_since_the_clock_was_stepped_keeps_its_time(released):
    sweep.beat()
    beat, until = Beat.objects.get(pk=sweep.WATCHDOG), released.erase_at
    Beat.objects.update(at=beat.at - timedelta(hours=2))
    Install.objects.create(machine=released, method="release", state="installed", ended_at=now())
    sweep.beat()
    assert Machine.objects.get().erase_at == until


def test_the_time_to_undo_goes_on_while_dodai_is_down(released):
    sweep.beat()
    beat, until = Beat.objects.get(pk=sweep.WATCHDOG), released.erase_at
    Beat.objects.update(at=beat.at - timedelta(hours=2), boot_seconds=beat.boot_seconds - 7200)
    sweep.beat()
    assert Machine.objects.get().erase_at == until
