"""Image files: what is taken in, and what is refused without a trace."""

import hashlib
import struct
import subprocess

import pytest

from installs.images import ImageProblem, add_image, look_into
from installs.models import Image

pytestmark = pytest.mark.django_db
ZSTD = b"\x28\xb5\x2f\xfd"


@pytest.fixture
def store(settings, tmp_path):
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    return settings.DATA / "images"


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "tree.tar.zst"
    path.write_bytes(ZSTD + bytes([0b1010_0000]) + struct.pack("<I", 5000) + bytes(64))
    return path


@pytest.fixture
def file_system(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x" * 300_000)
    path = tmp_path / "root.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "tree", path, "16M"], check=True)
    return path


def test_an_archive_is_stored_under_its_digest(store, archive):
    image = add_image(archive, name="tiny")
    assert (image.kind, image.unpacked_bytes) == ("tar.zst", 5000)
    assert image.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (store / image.sha256).read_bytes() == archive.read_bytes()


def test_a_file_system_tells_what_is_used_of_it(store, file_system):
    image = add_image(file_system, name="root")
    assert image.kind == "ext4"
    assert 300_000 < image.unpacked_bytes < 16 << 20


def test_a_wrong_digest_leaves_nothing(store, archive):
    with pytest.raises(ImageProblem, match="fetch the file again"):
        add_image(archive, name="tiny", sha256="0" * 64)
    assert (list(store.iterdir()), Image.objects.count()) == ([], 0)


@pytest.mark.parametrize("content", [b"", b"hello", b"QFI\xfb" + bytes(5000), bytes(4096), ZSTD])
def test_an_unknown_kind_is_refused(store, tmp_path, content):
    path = tmp_path / "odd.img"
    path.write_bytes(content)
    with pytest.raises(ImageProblem, match="no known kind"):
        add_image(path, name="odd")
    assert not store.exists()


def test_a_full_disk_is_noticed_before_and_leaves_nothing(store, archive, monkeypatch):
    monkeypatch.setattr("installs.images.SPARE_BYTES", 1 << 62)
    with pytest.raises(ImageProblem, match="make room"):
        add_image(archive, name="tiny")
    assert not store.exists()


def test_a_disk_that_fills_up_on_the_way_leaves_nothing(store, archive, monkeypatch):
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("installs.images.os.fsync", no_space)
    with pytest.raises(ImageProblem, match="is full"):
        add_image(archive, name="tiny")
    assert list(store.iterdir()) == []


def test_an_archive_that_does_not_tell_its_size_wants_it_told(store, tmp_path):
    path = tmp_path / "stream.tar.zst"
    path.write_bytes(ZSTD + bytes([0]) + bytes(64))
    assert look_into(path).unpacked_bytes is None
    with pytest.raises(ImageProblem, match="--unpacked-mib"):
        add_image(path, name="stream")
    assert add_image(path, name="stream", unpacked_bytes=7).unpacked_bytes == 7


def test_images_never_change(store, archive):
    add_image(archive, name="tiny")
    with pytest.raises(ImageProblem, match="choose another name"):
        add_image(archive, name="tiny")
    assert add_image(archive, name="other").sha256 == Image.objects.get(name="tiny").sha256
    assert len(list(store.iterdir())) == 1
