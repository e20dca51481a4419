"""How the image debian-12 is built, as far as it goes without building it; tests/end_to_end builds and installs it."""

import io
import os
import subprocess
import tarfile

import pytest
import zstandard

from installs.images.debian import builder as building
from installs.images.debian import recipe, version
from installs.ramdisk import RamdiskError
from installs.ramdisk.sources import Source

PROGRAM = """#!/bin/sh
cat "$(dirname "$0")/tree.tar"
echo "Unpacking one (1) ..." >&2
echo "Setting up one (1) ..." >&2
echo "E: something broke" >&2
exit CODE
"""


@pytest.fixture
def tar_of_a_tree():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("./boot/vmlinuz")
        info.size = 5000
        archive.addfile(info, io.BytesIO(bytes(5000)))
    return data.getvalue()


@pytest.fixture
def mmdebstrap(tmp_path, monkeypatch, tar_of_a_tree):
    """A program of that name that gives a tree, or what is left of one, and ends with a code."""

    def put(*, code: int = 0, tree: bytes = tar_of_a_tree) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "tree.tar").write_bytes(tree)
        (folder / "mmdebstrap").write_text(PROGRAM.replace("CODE", str(code)))
        (folder / "mmdebstrap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return put


def built(tmp_path, told=lambda *args: None):
    repository = tmp_path / "packages"
    repository.mkdir(exist_ok=True)
    return building._tree(repository, tmp_path, count=1, told=told)


def test_a_tree_becomes_an_archive_and_its_size_on_a_disk_is_known(mmdebstrap, tmp_path):
    mmdebstrap()
    image = built(tmp_path)
    assert image.unpacked_bytes == 8192
    with tarfile.open(
        fileobj=io.BytesIO(zstandard.decompress(image.path.read_bytes(), max_output_size=1 << 20))
    ) as archive:
        assert archive.getnames() == ["./boot/vmlinuz"]


def test_a_failure_is_told_in_the_words_of_mmdebstrap(mmdebstrap, tmp_path):
    mmdebstrap(code=25)
    with pytest.raises(RamdiskError, match="code 25: E: something broke"):
        built(tmp_path)


@pytest.mark.parametrize("keep", [0, 700])
def test_half_a_tree_is_none(mmdebstrap, tmp_path, tar_of_a_tree, keep):
    mmdebstrap(tree=tar_of_a_tree[:keep])
    with pytest.raises(RamdiskError, match="gave no tree: E: something broke"):
        built(tmp_path)


def test_whoever_hears_of_the_progress_may_stop_it(mmdebstrap, tmp_path):
    class Enough(Exception):
        pass

    def told(*args):
        raise Enough

    mmdebstrap()
    with pytest.raises(Enough):
        built(tmp_path, told)


def test_without_mmdebstrap_the_apt_line_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(building, "missing", lambda: ["mmdebstrap"])
    monkeypatch.setattr(building, "apt_install", lambda packages, why: False)
    with pytest.raises(RamdiskError, match="apt-get install --no-install-recommends mmdebstrap"):
        with building.build(tmp_path, print, lambda *args: None):
            pass


def test_no_room_is_told_before_anything_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(building, "missing", list)
    monkeypatch.setattr(building, "SPARE_BYTES", 1 << 62)
    with pytest.raises(RamdiskError, match="make room"), building.build(tmp_path, print, lambda *args: None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_goes_at_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(building.os, "geteuid", lambda: 0)
    (tmp_path / f"{building.PREFIX}old" / "tree").mkdir(parents=True)
    with building._work_folder(tmp_path) as work:
        assert list(tmp_path.iterdir()) == [work]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("uri", "is_public"), [
    ("http://mirror.example/debian", True), ("https://user:secret@mirror.example/debian", False),
    ("file:///srv/mirror", False), ("copy:/srv/mirror", False),
])  # fmt: skip
def test_an_installed_machine_hears_of_no_password_and_no_folder_of_this_computer(uri, is_public):
    assert building._is_public(Source(uri, "bookworm", ("main",))) is is_public


def test_the_sources_of_the_image_are_signed_by_the_key_it_has():
    line = building._source_line(Source("http://mirror.example/debian", "bookworm", ("main",), building.KEYRING))
    assert line == f"deb [signed-by={building.KEYRING}] http://mirror.example/debian bookworm main\n"
    assert "signed-by" not in building._source_line(Source("http://m.example/d", "bookworm", ("main",), "/root/key"))


def test_the_version_is_of_what_decides_the_content(monkeypatch, tmp_path):
    before = version()
    (tmp_path / "customize").write_text("other")
    assert version() == before
    monkeypatch.setattr(recipe, "FILES", tmp_path)
    assert version() != before


def test_the_script_of_the_tree_is_clean_shell():
    subprocess.run(["shellcheck", recipe.FILES / "customize"], check=True)


def test_a_server_finds_what_it_needs():
    assert {"openssh-server", "linux-image-amd64", "initramfs-tools", "curl", "sudo", "grub2-common"} <= set(
        recipe.PACKAGES
    )
