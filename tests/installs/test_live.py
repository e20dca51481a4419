"""The method live: to `installed` without a grant, from the network again at each boot, and for that machine only."""

import struct

import pytest

from installs import actions, plan, scripts
from installs.images.intake import add_image
from installs.images.kinds import ImageProblem
from installs.models import Image, Install
from machines.models import Machine
from machines.power import fake
from tests import installing
from tests.test_scripts import bash

SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
NONE = (1 << 64) - 1
IMAGE = {"url": "http://s/image/x", "sha256": "a" * 64, "size_bytes": 4096, "name": "live"}


def squashfs(**changes: int) -> bytes:
    """An empty one: a superblock and tables of zeros."""
    values = {
        "inodes": 1, "time": 0, "block": 131072, "fragments": 0, "packer": 6, "log": 17, "flags": 0, "ids": 1,
        "major": 4, "minor": 0, "root": 0, "used": 4096, "id_at": 200, "xattr_at": NONE, "inode_at": 96,
        "folder_at": 128, "fragment_at": NONE, "export_at": NONE,
    } | changes  # fmt: skip
    return SUPERBLOCK.pack(b"hsqs", *values.values()).ljust(4096, b"\0")


@pytest.fixture
def store(settings, tmp_path, db):
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    return tmp_path


@pytest.fixture
def image(store) -> Image:
    (store / "live.squashfs").write_bytes(squashfs())
    return add_image(store / "live.squashfs", name="live")


@pytest.fixture
def booted(machine, image, server, steps) -> Install:
    """The install up to its first words from the ramdisk."""
    install = installing.start(machine, image)
    steps()
    assert server.boot()
    assert server.say("install") == "applied"
    return install


@pytest.fixture
def running(booted, server) -> Install:
    server.finish_first_boot(server.ask_settings())
    booted.refresh_from_db()
    assert booted.state == "installed"
    return booted


def test_a_squashfs_is_taken_in_for_it(image):
    assert (image.kind, image.method, image.report["packed_by"]) == ("squashfs", "live", "zstd")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"used": 5000}, "cut off"), ({"major": 3}, "another version"), ({"log": 30}, "damaged"),
        ({"packer": 5}, "xz, zstd"), ({"inode_at": 1 << 40}, "outside of it"), ({"inodes": 0}, "damaged"),
    ],
)  # fmt: skip
def test_a_broken_squashfs_is_refused(store, changes, words):
    (store / "bad").write_bytes(squashfs(**changes))
    with pytest.raises(ImageProblem, match=words):
        add_image(store / "bad", name="bad")
    assert not Image.objects.exists()


def test_it_needs_no_disk_but_enough_memory(machine, image):
    machine.disks.all().delete()
    assert plan.for_install(machine, image).is_possible
    machine.facts = {"memory_bytes": 128 << 20}
    assert "runs from memory" in " ".join(plan.for_install(machine, image).problems)


def test_it_is_installed_without_a_grant(running, machine):
    machine.refresh_from_db()
    assert (machine.state, machine.image_name, running.granted_at) == ("in_use", "live", None)
    assert ("node1", "boot from network for ever") in fake.calls


def test_the_grant_is_refused_to_it(booted, server):
    assert "DODAI_GRANTED=no" in server.ask_grant()
    assert Install.objects.get().granted_at is None


def test_every_boot_comes_from_the_network_while_the_machine_runs_it(running, server, machine):
    for _ in range(3):
        assert server.boot()
        assert server.say("install", status=410) == "ended"
        assert "DODAI_GRANTED=yes" in (said := server.ask_settings())
        assert server.finish_first_boot(said) == "duplicate"
    running.refresh_from_db()
    assert running.state == "installed"


def test_its_boots_do_not_pile_up(running, server):
    for _ in range(30):
        server.boot()
    assert running.boots.count() <= 20


@pytest.mark.parametrize("change", [{"state": "aside"}, {"state": "free"}, {"image_name": ""}])
def test_a_machine_that_runs_it_no_more_starts_from_its_disk(running, server, change):
    token = server.ask_boot().partition("/script/")[2].split()[0]
    Machine.objects.update(**change)
    assert "dodai_script=" not in server.ask_boot()
    assert not server.fetch_script(token, "0" * 8 + "-0000-0000-0000-" + "0" * 12)


def test_a_token_of_before_says_nothing_once_something_else_was_installed(running, server, machine, steps):
    assert server.boot()
    other = installing.Server(machine)
    Install.objects.create(
        machine=machine, method="file-tree", state="installed", plan_digest="x", image=installing.make_image()
    )  # fmt: skip
    assert server.ask_settings(status=410)
    assert not other.boot()


def test_another_machine_gets_no_settings(booted, server):
    assert "DODAI_GRANTED=no" in server.ask_settings(serial="STRANGER")
    booted.refresh_from_db()
    assert (booted.wanted_end, booted.cause, booted.first_boot_hash) == ("failed", "identity", "")


@pytest.mark.parametrize("change", [{"kernel_args": "quiet"}, {"sha256": "c" * 64}])
def test_another_image_than_the_approved_one_gets_no_settings(booted, server, change):
    Image.objects.update(**change)
    assert "DODAI_GRANTED=no" in server.ask_settings()
    booted.refresh_from_db()
    assert (booted.wanted_end, booted.cause, booted.first_boot_hash) == ("failed", "plan", "")


def test_a_disk_that_was_put_in_meanwhile_does_not_matter_to_it(booted, server, machine):
    machine.disks.update(is_root=False, serial="OTHER")
    assert "DODAI_GRANTED=yes" in server.ask_settings()


def test_another_machine_gets_none_later_either(running, server):
    assert server.boot()
    before = Install.objects.get().first_boot_hash
    assert "DODAI_GRANTED=no" in server.ask_settings(serial="STRANGER")
    assert Install.objects.get().first_boot_hash == before


def test_who_writes_disks_gets_its_settings_with_the_grant_only(machine, server, steps):
    installing.start(machine, installing.make_image())
    steps()
    assert server.boot()
    server.ask_settings(status=410)
    assert not Install.objects.exclude(first_boot_hash="").exists()


def test_a_step_of_a_later_boot_ends_no_more_than_itself(tmp_path):
    """Some of them become another program (`exec`), as they may beside the script that reports."""
    whole = scripts.render("live/boot.sh", server="http://s", token="t", image=IMAGE)
    step = whole[whole.index("step() {") :].partition("\n}\n")[0] + "\n}\n"
    said = bash(
        f"AGAIN=yes; LOG={tmp_path}/log; say() {{ :; }}; become() {{ exec true; }}\n{step}step x 0 y become; echo on"
    )
    assert said.stdout == "on\n"


def test_a_protected_machine_goes_on_with_what_it_runs(running, server):
    Machine.objects.update(protected=True)
    assert server.boot()


def test_while_another_install_begins_its_boots_are_that_ones(running, server, machine, steps):
    actions.start_install(Machine.objects.get(), installing.make_image(), by="tester")
    steps()
    assert server.boot()
    assert "file_tree" not in server.ask_settings(status=410)
