"""Building a ramdisk: versions, what is built already, and every way it can fail."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from installs import ramdisk
from installs.ramdisk import RamdiskError, builder, shelf
from installs.ramdisk.apt import Package, explain, run
from installs.ramdisk.builder import Options, recipe_of, version_of

KERNEL = Package("linux-image-amd64", "6.1.1", "linux-image-amd64_6.1.1_amd64.deb", 70_000_000)
BASH = Package("bash", "5.2-1", "bash_5.2-1_amd64.deb", 1_500_000)


def manifest(version: str, recipe: str, **more: object) -> dict[str, object]:
    return {
        "name": "lab", "version": version, "recipe": recipe, "options": {}, "packages": {"bash": "5.2"},
        "kernel_release": "6.1.0-1-amd64", "modules": ["ext4"], "built_at": time.time(),
        "sizes": {"vmlinuz": 3, "initrd": 3}, **more,
    }  # fmt: skip


@pytest.fixture
def put_on_shelf(tmp_path: Path) -> Callable[..., ramdisk.Ramdisk]:
    def put(version: str, recipe: str = "r", **more: object) -> ramdisk.Ramdisk:
        with shelf.work_folder(tmp_path) as folder:
            ready = folder / "ready"
            ready.mkdir()
            for name in ("vmlinuz", "initrd"):
                (ready / name).write_bytes(b"abc")
            return shelf.publish(ready, manifest(version, recipe, **more), tmp_path)

    return put


def test_the_version_depends_on_packages_and_recipe_only() -> None:
    version = version_of("lab", "r", [KERNEL, BASH])
    assert version == version_of("lab", "r", [BASH, KERNEL])
    assert version.startswith("lab-")
    newer = Package("bash", "5.2-2", "x", 1)
    assert len({version, version_of("lab", "r", [KERNEL, newer]), version_of("lab", "q", [KERNEL, BASH])}) == 3


def test_options_and_sets_have_recipes_of_their_own() -> None:
    recipes = [recipe_of("lab", Options()), recipe_of("real", Options()), recipe_of("lab", Options(firmware=True))]
    assert len(set(recipes)) == 3
    assert recipe_of("lab", Options()) == recipes[0]


def test_what_is_built_is_not_built_again(tmp_path, put_on_shelf, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    built = put_on_shelf("lab-1", recipe_of("lab", Options()))
    assert ramdisk.build("lab", tmp_path, pytest.fail) == built


def test_the_newest_is_the_latest(tmp_path, put_on_shelf) -> None:
    put_on_shelf("lab-new", built_at=200.0)
    put_on_shelf("lab-old", built_at=100.0)
    newest = ramdisk.latest("lab", tmp_path)
    assert newest is not None
    assert newest.version == "lab-new"
    assert ramdisk.latest("real", tmp_path) is None


def test_a_damaged_ramdisk_counts_as_absent(tmp_path, put_on_shelf) -> None:
    built = put_on_shelf("lab-1")
    built.initrd.write_bytes(b"a")
    assert ramdisk.latest("lab", tmp_path) is None


def test_a_damaged_manifest_counts_as_absent(tmp_path, put_on_shelf) -> None:
    built = put_on_shelf("lab-1")
    (built.kernel.parent / "manifest.json").write_text(json.dumps(["?"]))
    assert ramdisk.latest("lab", tmp_path) is None


def test_old_ramdisks_are_discarded_after_a_week(tmp_path, put_on_shelf) -> None:
    for number in range(5):
        put_on_shelf(f"lab-{number}", built_at=float(number))
    put_on_shelf("lab-5")
    assert sorted(found.version for found in shelf.on_shelf("lab", tmp_path)) == ["lab-3", "lab-4", "lab-5"]


def test_a_build_that_fails_leaves_nothing(tmp_path) -> None:
    def fail() -> None:
        with shelf.work_folder(tmp_path) as folder:
            (folder / "initrd").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert list((tmp_path / "ramdisk").iterdir()) == []


def test_what_a_killed_build_left_is_removed(tmp_path) -> None:
    (tmp_path / "ramdisk/.building-x/stage").mkdir(parents=True)
    shelf.remove_leftovers(tmp_path)
    assert list((tmp_path / "ramdisk").iterdir()) == []


def test_an_unknown_set_names_the_known_ones(tmp_path) -> None:
    with pytest.raises(RamdiskError, match="lab, real"):
        ramdisk.build("huge", tmp_path, print)


def test_without_apt_the_message_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RamdiskError, match=r"apt-get is not on this computer.*Debian 12"):
        ramdisk.build("lab", tmp_path, lambda line: None)
    assert not list((tmp_path / "ramdisk").glob("*"))


def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(RamdiskError, match=r"needs about 572 MB in .* has 1 MB free"):
        builder._check_space(tmp_path, [KERNEL, BASH])


def test_another_processor_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(RamdiskError, match="aarch64"):
        ramdisk.build("lab", tmp_path, print)


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "apt").write_text("a file where the folder should be")
    with pytest.raises(RamdiskError, match=str(tmp_path)):
        ramdisk.build("lab", tmp_path, print)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("E: Failed to fetch http://x  Temporary failure resolving 'x'", "Check the network"),
        ("Err:1 http://x\n  Could not connect to x:80, connection timed out", "Check the network"),
        ("E: You don't have enough free space in /x/", "disk of the data folder is full"),
        ("dpkg-deb: error: write error: No space left on device", "disk of the data folder is full"),
        ("E: The repository 'http://x bookworm-backports Release' does not have a Release file.", "does not serve"),
        ("W: GPG error: NO_PUBKEY 1234", "debian-archive-keyring"),
        ("E: something new", "apt-get update failed: E: something new"),
        ("", "it said nothing"),
    ],
)
def test_what_apt_says_becomes_words_for_the_operator(said: str, expected: str) -> None:
    assert expected in explain("apt-get update", said)


def test_a_command_that_hangs_ends(tmp_path) -> None:
    with pytest.raises(RamdiskError, match="did not end within"):
        run(["sleep", "30"], what="sleep", timeout_seconds=0.1)
