"""Images of whole disks: what is taken in, what of it is remembered, and every hostile or broken one refused."""

import hashlib
import os
import random
import re
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from installs.images import qcow2
from installs.images.contract import BadImage, disk
from installs.images.intake import add_image
from installs.images.kinds import ImageProblem
from installs.models import Image
from tests import disk_files
from tests.disk_files import MIB

KINDS = ("raw", "raw.zst", "raw.gz")
SEED = int(os.environ.get("DODAI_SEED") or random.randrange(1 << 30))
SECRET = b"a file of the server that nobody shall read"


@pytest.fixture
def store(settings, tmp_path, db):
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    return settings.DATA / "images"


@pytest.fixture
def luck():
    print(f"replay with DODAI_SEED={SEED}")
    return random.Random(SEED)


def file_of(tmp_path: Path, kind: str, content: bytes | None = None) -> Path:
    path = tmp_path / f"disk.{kind}"
    path.write_bytes(disk_files.packed(disk_files.gpt(), kind) if content is None else content)
    return path


def nothing_is_stored(store: Path) -> bool:
    left = [path for path in store.rglob("*") if path.is_file() and path.name != ".lock"]
    return not left and not Image.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_is_taken_in_as_it_is(store, tmp_path, kind):
    path = file_of(tmp_path, kind)
    image = add_image(path, name="disk")
    assert (image.kind, image.method, image.unpacked_bytes) == (kind, "disk-image", 12 * MIB)
    assert (store / image.sha256).read_bytes() == path.read_bytes()
    assert (image.report["table"], image.report["partitions"]) == ("gpt", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_its_samples_are_what_stands_there(store, tmp_path, kind):
    whole = disk_files.gpt()
    samples = add_image(file_of(tmp_path, kind), name="disk").report["samples"]
    assert [at for at, _digest in samples["digests"]] == [0, 4 * MIB, 8 * MIB]
    for at, digest in samples["digests"]:
        assert hashlib.sha256(whole[at : at + samples["bytes"]]).hexdigest() == digest


def test_a_large_disk_has_no_more_samples_than_a_small_one():
    samples = disk.Samples()
    for at in range(0, 4096 * MIB, MIB):
        samples.take(at, bytes(disk.SAMPLE_BYTES))
    offsets = [at for at, _digest in samples.kept]
    assert disk.MOST_SAMPLES // 2 <= len(offsets) <= disk.MOST_SAMPLES
    assert len({b - a for a, b in pairwise(offsets)}) == 1


def test_the_old_table_will_do(store, tmp_path):
    assert add_image(file_of(tmp_path, "raw", disk_files.mbr()), name="old").report["table"] == "dos"


def test_a_qcow2_becomes_a_packed_raw_image(store, tmp_path):
    whole = disk_files.gpt()
    path = disk_files.qcow2(tmp_path / "disk.qcow2", whole)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    image = add_image(path, name="disk", sha256=digest)
    assert (image.kind, image.method, image.unpacked_bytes) == ("raw.zst", "disk-image", len(whole))
    assert zstandard.decompress((store / image.sha256).read_bytes()) == whole
    assert image.report["converted_from"] == {"kind": "qcow2", "sha256": digest}
    assert [path.name for path in store.iterdir() if len(path.name) == 64] == [image.sha256]
    assert not list((store / "incoming").iterdir())


def test_a_qcow2_of_another_digest_is_not_even_opened(store, tmp_path, monkeypatch):
    monkeypatch.setattr(qcow2, "convert", lambda *_: pytest.fail("it was converted"))
    path = disk_files.qcow2(tmp_path / "disk.qcow2", disk_files.gpt())
    with pytest.raises(ImageProblem, match="fetch the file again"):
        add_image(path, name="disk", sha256="0" * 64)
    assert nothing_is_stored(store)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_anywhere_is_refused(store, tmp_path, luck, kind):
    content = file_of(tmp_path, kind).read_bytes()
    for end in [*luck.sample(range(len(content)), 12), len(content) - 1]:
        with pytest.raises(ImageProblem):
            add_image(file_of(tmp_path, kind, content[:end]), name="disk")
        assert nothing_is_stored(store), end


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, luck, kind):
    whole = disk_files.gpt(4)
    content = bytearray(disk_files.packed(whole, kind))
    for at in luck.sample(range(len(content) * 8), 60):
        content[at // 8] ^= 1 << at % 8
        path = file_of(tmp_path, kind, bytes(content))
        try:
            disk.look_into(path, kind)
            with path.open("rb") as file:
                found = b"".join(disk.pieces(file, kind))
            assert found == whole or kind == "raw", at  # the digest stands for what has no checksum of its own
        except BadImage:
            pass
        content[at // 8] ^= 1 << at % 8


@pytest.mark.parametrize("kind", ["raw.zst", "raw.gz"])
def test_a_bomb_is_put_down_long_before_it_is_unpacked(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(disk, "MAX_DISK_BYTES", 256 * MIB)
    charge = disk_files.packed(bytes(64 * MIB), kind)
    path = file_of(tmp_path, kind, disk_files.packed(disk_files.mbr(), kind) + charge * 400)
    told = []
    with pytest.raises(BadImage, match="larger than"):
        disk.look_into(path, kind, lambda done, total: told.append(done / total))
    assert told[-1] < 0.5


def test_a_window_that_would_take_gigabytes_is_refused(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=30)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = packer.compress(disk_files.gpt()) + packer.flush()
    with pytest.raises(BadImage, match="zstd cannot unpack"):
        disk.look_into(file_of(tmp_path, "raw.zst", content), "raw.zst")


def damaged(at: int, value: bytes) -> bytes:
    content = bytearray(disk_files.gpt())
    content[at : at + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (damaged(510, b"\0\0"), "no known kind"),
        (damaged(512 + 24, b"\x07"), "partition table is damaged"),
        (damaged(1024 + 56, b"Z"), "partition table is damaged"),
        (damaged(512, b"EFI TRAP"), "partition table is damaged"),
        (disk_files.mbr()[:446] + bytes(64) + b"\x55\xaa" + bytes(8 * MIB - 512), "partition table is empty"),
        (disk_files.gpt()[: -MIB - 512], "ends behind its end"),
        (disk_files.gpt() + b"x", "no whole number of sectors"),
    ],
)
def test_what_no_machine_could_boot_from_is_refused(store, tmp_path, content, words):
    with pytest.raises(ImageProblem, match=words):
        add_image(file_of(tmp_path, "raw", content), name="disk")
    assert nothing_is_stored(store)


DESCRIPTOR = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'


@pytest.mark.parametrize(
    "content",
    [
        DESCRIPTOR + b'RW 2048 FLAT "/etc/passwd" 0\n',
        (DESCRIPTOR + b'RW 2048 FLAT "/etc/passwd" 0\n').ljust(4 * MIB, b"\0"),
        b"KDMV" + struct.pack("<I", 1).ljust(4 * MIB, b"\0"),
        b"vhdxfile".ljust(4 * MIB, b"\0"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe").ljust(4 * MIB, b"\0"),
    ],
    ids=["vmdk-descriptor", "padded-descriptor", "vmdk", "vhdx", "vdi"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_other_programs_are_refused_and_nothing_that_they_name_is_read(
    store, tmp_path, monkeypatch, content, kind
):
    monkeypatch.setattr(qcow2, "convert", lambda *_: pytest.fail("it was converted"))
    with pytest.raises(ImageProblem, match=r"no known kind|no whole tar archive"):
        add_image(file_of(tmp_path, kind, disk_files.packed(content, kind)), name="disk")
    assert nothing_is_stored(store)


@pytest.mark.parametrize("outer", ["raw.zst", "raw.gz"])
@pytest.mark.parametrize("inner", ["raw.zst", "raw.gz", "qcow2"])
def test_a_packed_image_in_a_packed_image_is_not_opened(store, tmp_path, outer, inner):
    if inner == "qcow2":
        content = disk_files.qcow2(tmp_path / "inner.qcow2", disk_files.gpt()).read_bytes()
    else:
        content = disk_files.packed(bytes(8 * MIB), inner)
    with pytest.raises(ImageProblem):
        add_image(file_of(tmp_path, outer, disk_files.packed(content, outer)), name="disk")
    assert nothing_is_stored(store)


# --- hostile qcow2


@pytest.fixture
def plain(tmp_path) -> Path:
    return disk_files.qcow2(tmp_path / "plain.qcow2", disk_files.gpt(4))


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET.ljust(MIB, b"."))
    return path


def with_bytes(path: Path, at: int, value: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def create(path: Path, *options: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options], check=True, timeout=60, cwd=path.parent)
    return path


def test_a_backing_file_is_refused(store, tmp_path, secret):
    path = create(tmp_path / "b.qcow2", "-b", str(secret), "-F", "raw", "b.qcow2", "1M")
    with pytest.raises(ImageProblem, match="backing file"):
        add_image(path, name="disk")
    assert nothing_is_stored(store)


def test_a_data_file_is_refused(store, tmp_path):
    path = create(tmp_path / "d.qcow2", "-o", "data_file=data.raw,data_file_raw=on", "d.qcow2", "1M")
    with pytest.raises(ImageProblem, match="another file"):
        add_image(path, name="disk")
    assert nothing_is_stored(store)


def test_a_backing_file_that_the_header_hid_is_not_read(tmp_path, secret, monkeypatch):
    """The second wall: qemu-img is told that there is none."""
    path = create(tmp_path / "b.qcow2", "-b", str(secret), "-F", "raw", "b.qcow2", "1M")
    monkeypatch.setattr(qcow2, "disk_bytes", lambda _path: MIB)
    qcow2.convert(path, tmp_path / "out.raw", tmp_path / "out.zst")
    assert zstandard.decompress((tmp_path / "out.zst").read_bytes()) == bytes(MIB)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (4, struct.pack(">I", 9), "version 9"),
        (20, struct.pack(">I", 30), "damaged"),
        (24, struct.pack(">Q", 1 << 60), "damaged"),
        (24, struct.pack(">Q", 0), "damaged"),
        (32, struct.pack(">I", 1), "encrypted"),
        (72, struct.pack(">Q", 1), "not closed"),
        (72, struct.pack(">Q", 2), "damaged"),
        (72, struct.pack(">Q", 1 << 40), "another file"),
        (100, struct.pack(">I", 1 << 20), "damaged"),
        (112, struct.pack(">II", 0x44415441, 8), "names a data file"),
        (112, struct.pack(">II", 0x12345678, 8), "nobody here knows"),
    ],
)
def test_a_header_that_says_more_than_it_may_is_refused(store, plain, at, value, words):
    with pytest.raises(ImageProblem, match=words):
        add_image(with_bytes(plain, at, value), name="disk")
    assert nothing_is_stored(store)


def test_a_qcow2_with_flipped_bits_harms_nobody(store, tmp_path, plain, luck):
    content = plain.read_bytes()
    for _ in range(8):
        spoilt = bytearray(content)
        for at in luck.sample(range(len(content) * 8), 20):
            spoilt[at // 8] ^= 1 << at % 8
        path = tmp_path / "spoilt.qcow2"
        path.write_bytes(spoilt)
        try:
            image = add_image(path, name="disk")
        except ImageProblem:
            assert nothing_is_stored(store)
            continue
        assert image.unpacked_bytes <= disk.MAX_DISK_BYTES
        (store / image.sha256).unlink()
        image.delete()


def test_the_jail_has_no_network_and_an_end_to_all(tmp_path, plain, monkeypatch):
    """What a program sees that stands in qemu-img's place."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "qemu-img").write_text(
        "#!/bin/bash\nfor last; do :; done\n"
        '{ cat /proc/net/dev; ulimit -f; ulimit -v; ulimit -t; env; } >"$last"\n'
    )  # fmt: skip
    (folder / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DODAI_SECRET", "hush")
    qcow2.convert(plain, tmp_path / "out.raw", tmp_path / "out.zst")
    said = zstandard.decompress((tmp_path / "out.zst").read_bytes()).decode()
    assert re.findall(r"^ *(\w+): +\d", said, re.MULTILINE) == ["lo"]
    assert f"\n{4 * MIB // 1024}\n{qcow2.MEMORY_BYTES // 1024}\n{qcow2.SECONDS}\n" in said
    assert "hush" not in said


def test_whoever_cancels_is_heard_while_it_is_converted(tmp_path, plain, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "qemu-img").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 600\n")
    (folder / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def cancelled(_done: int, _total: int) -> None:
        if (tmp_path / "pid").exists():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        qcow2.convert(plain, tmp_path / "out.raw", tmp_path / "out.zst", cancelled)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_without_a_jail_nothing_is_converted(store, plain, monkeypatch):
    monkeypatch.setattr(qcow2, "JAIL", ("false",))
    with pytest.raises(ImageProblem, match="convert it yourself"):
        add_image(plain, name="disk")
    assert nothing_is_stored(store)
