"""Image files: what is taken in, and what is refused without a trace."""

import hashlib

import pytest
import zstandard

from installs.images.intake import add_image
from installs.images.kinds import ImageProblem, look_into
from installs.models import Image
from tests import image_files

pytestmark = pytest.mark.django_db
ZSTD = b"\x28\xb5\x2f\xfd"


@pytest.fixture
def store(settings, tmp_path):
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    return settings.DATA / "images"


@pytest.fixture
def archive(tmp_path):
    return image_files.tar_zst(tmp_path / "tree.tar.zst")


@pytest.fixture
def file_system(tmp_path):
    files = image_files.tree(usr__lib__big=b"x" * 300_000)
    return image_files.ext4(tmp_path / "root.ext4", tmp_path / "tree", files)


def stored(store):
    return sorted(path.name for path in store.iterdir() if path.is_file() and not path.name.startswith("."))


def test_an_archive_is_stored_under_its_digest(store, archive):
    image = add_image(archive, name="tiny")
    assert (image.kind, image.unpacked_bytes) == ("tar.zst", image.report["unpacked_bytes"])
    assert image.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (store / image.sha256).read_bytes() == archive.read_bytes()


def test_a_file_system_tells_what_is_used_of_it(store, file_system):
    image = add_image(file_system, name="root")
    assert image.kind == "ext4"
    assert 300_000 < image.unpacked_bytes < 24 << 20


def test_a_wrong_digest_leaves_nothing(store, archive):
    with pytest.raises(ImageProblem, match="fetch the file again"):
        add_image(archive, name="tiny", sha256="0" * 64)
    assert (stored(store), list((store / "incoming").iterdir()), Image.objects.count()) == ([], [], 0)


@pytest.mark.parametrize("content", [b"", b"hello", b"VMDK" + bytes(5000), bytes(4096), ZSTD])
def test_an_unknown_kind_is_refused(store, tmp_path, content):
    path = tmp_path / "odd.img"
    path.write_bytes(content)
    with pytest.raises(ImageProblem, match="no known kind"):
        add_image(path, name="odd")
    assert not store.exists()


def test_a_full_disk_is_noticed_before_and_leaves_nothing(store, archive, monkeypatch):
    monkeypatch.setattr("installs.images.intake.SPARE_BYTES", 1 << 62)
    with pytest.raises(ImageProblem, match="make room"):
        add_image(archive, name="tiny")
    assert not store.exists()


def test_a_disk_that_fills_up_on_the_way_leaves_nothing(store, archive, monkeypatch):
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("installs.images.intake.os.fsync", no_space)
    with pytest.raises(ImageProblem, match="is full"):
        add_image(archive, name="tiny")
    assert (stored(store), list((store / "incoming").iterdir())) == ([], [])


def test_an_archive_that_does_not_tell_its_size_is_measured(store, tmp_path):
    path = tmp_path / "stream.tar.zst"
    packer = zstandard.ZstdCompressor(write_content_size=False)
    path.write_bytes(packer.compress(image_files.tar(image_files.tree(usr__lib__big=bytes(300_000)))))
    assert look_into(path).unpacked_bytes is None
    assert 300_000 < add_image(path, name="stream").unpacked_bytes < 600_000
    assert add_image(path, name="told", unpacked_bytes=7).unpacked_bytes == 7


@pytest.mark.parametrize(("missing", "words"), [
    (f"boot/vmlinuz-{image_files.RELEASE}", "no kernel"),
    ("usr/lib/systemd/systemd", "neither systemd nor another init"),
])  # fmt: skip
def test_what_cannot_be_installed_is_refused_with_the_reason(store, tmp_path, missing, words):
    files = image_files.tree(**{missing.replace("/", "__"): None})
    with pytest.raises(ImageProblem, match=words):
        add_image(image_files.tar_zst(tmp_path / "odd.tar.zst", files), name="odd")
    assert (stored(store), Image.objects.count()) == ([], 0)


def test_images_never_change(store, archive):
    add_image(archive, name="tiny")
    with pytest.raises(ImageProblem, match="choose another name"):
        add_image(archive, name="tiny")
    assert add_image(archive, name="other").sha256 == Image.objects.get(name="tiny").sha256
    assert len(stored(store)) == 1
