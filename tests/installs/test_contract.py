"""A look into images: the same answer for every kind, and nothing hostile gets further than a clear word."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zlib

import pytest
import zstandard

from installs.images import contract, contract_words
from installs.images.contract import BadImage, archive, drivers, ext4, initramfs, look_into
from tests import image_files
from tests.image_files import RELEASE, initrd, tree


@pytest.fixture
def tar_zst(tmp_path):
    return lambda files=None, *extra: image_files.tar_zst(tmp_path / "image.tar.zst", files, *extra)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_good_image_has_no_problems(tar_zst):
    report, found = look_into(tar_zst(), "tar.zst")
    assert (report.problems, report.warnings) == ([], [])
    assert report.os_name == "Debian GNU/Linux 12 (bookworm)"
    assert (report.init, report.network, report.caller, report.machine_id) == (
        "systemd", "systemd-networkd", "curl", "empty",
    )  # fmt: skip
    [kernel] = report.kernels
    assert (kernel.release, kernel.initrd, kernel.driver_count) == (RELEASE, f"initrd.img-{RELEASE}", 5)
    assert found.in_initrd == set(image_files.IN_INITRD)


@pytest.mark.parametrize("options", [
    (), ("-b", "1024"), ("-b", "4096"), ("-O", "^extents,^64bit"), ("-O", "inline_data"),
    ("-O", "^has_journal,^extents,^64bit,^flex_bg,^metadata_csum,^dir_index"),
    ("-I", "128", "-O", "^metadata_csum,^huge_file"),
], ids=str)  # fmt: skip
def test_every_make_of_file_system_tells_the_same_as_an_archive(tmp_path, tar_zst, options):
    big = bytes(random.Random(1).randbytes(3_000_000))  # beyond the direct and single indirect blocks
    files = tree() | {
        f"boot/initrd.img-{RELEASE}": initrd(*image_files.IN_INITRD, pack=lambda data: gzip.compress(data))
    }
    files |= {"usr/share/big": big} | {f"usr/share/many/file-{number:05}": b"" for number in range(1500)}
    path = image_files.ext4(tmp_path / "root.ext4", tmp_path / "tree", files, *options)
    by_archive, drivers_by_archive = look_into(tar_zst(files), "tar.zst")
    by_system, drivers_by_system = look_into(path, "ext4")
    assert (by_system.kernels, by_system.problems, by_system.warnings) == (by_archive.kernels, [], [])
    assert drivers_by_system == drivers_by_archive
    assert len(ext4.read(path).names_in("usr/share/many")) == 1500


def test_large_files_are_read_whole_through_all_their_blocks(tmp_path):
    content = random.Random(2).randbytes(6_000_000)
    files = tree() | {f"boot/initrd.img-{RELEASE}": content}
    for number, options in enumerate(
        [
            ("-b", "1024", "-O", "^extents,^64bit"),
            (
                "-b",
                "1024",
            ),
        ]
    ):
        path = image_files.ext4(tmp_path / f"{number}.ext4", tmp_path / f"tree{number}", files, *options)
        assert ext4.read(path).content(f"boot/initrd.img-{RELEASE}") == content


@pytest.mark.parametrize(("change", "code"), [
    ({f"boot/vmlinuz-{RELEASE}": None}, "no-kernel"),
    ({"usr/lib/systemd/systemd": None}, "no-init"),
])  # fmt: skip
def test_what_the_method_needs_is_a_problem_when_missing(tar_zst, change, code):
    files = {name: content for name, content in (tree() | change).items() if content is not None}
    report, _ = look_into(tar_zst(files), "tar.zst")
    assert code in report.problems
    assert contract_words.words(code).endswith(".")


@pytest.mark.parametrize(("change", "code"), [
    ({f"boot/initrd.img-{RELEASE}": None}, "no-initrd"),
    ({f"boot/initrd.img-{RELEASE}": b"\x02\x21\x4c\x18" + bytes(99)}, "initrd-unreadable"),
    ({f"boot/initrd.img-{RELEASE}": initrd("virtio_blk")}, "no-ext4"),
    ({"usr/bin/curl": None}, "no-caller"),
    ({"usr/sbin/sshd": None}, "no-sshd"),
    ({"etc/ssh/ssh_host_rsa_key": b"secret"}, "host-keys"),
    ({"etc/machine-id": b"0123456789abcdef0123456789abcdef\n"}, "machine-id"),
    ({"etc/cloud/cloud.cfg": b""}, "cloud-init"),
    ({"etc/os-release": None}, "no-os-release"),
    ({"etc/systemd/system/multi-user.target.wants/systemd-networkd.service": None}, "no-network"),
    ({name: None for name in tree() if "/modules." in name}, "no-modules"),
])  # fmt: skip
def test_what_is_only_odd_is_a_warning(tar_zst, change, code):
    files = {name: content for name, content in (tree() | change).items() if content is not None}
    report, _ = look_into(tar_zst(files), "tar.zst")
    assert (report.problems, code in report.warnings) == ([], True)
    assert contract_words.words(code).endswith(".")


def test_the_last_kernel_by_version_is_the_one_that_boots(tar_zst):
    files = tree() | {
        "boot/vmlinuz-6.1.0-10-amd64": b"newer",
        "boot/vmlinuz-6.1.0-10-amd64.old": b"",
        "boot/vmlinuz-0-rescue-1": b"",
    }
    report, _ = look_into(tar_zst(files), "tar.zst")
    assert [kernel.release for kernel in report.kernels] == [RELEASE, "6.1.0-10-amd64"]
    assert "no-initrd" in report.warnings


PACKINGS = {
    "zstd": zstandard.compress, "gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE), "none": lambda data: data,
}  # fmt: skip


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)
def test_an_initrd_is_read_however_it_is_packed(pack):
    found = initramfs.look_into(initrd("megaraid_sas", "ext4", pack=pack))
    assert (found.modules, found.problem) == ({"megaraid_sas", "ext4"}, "")


@pytest.mark.parametrize("data", [
    b"\x02\x21\x4c\x18xxxx", b"hello", initrd("ext4")[:-9], initrd("ext4", pack=lambda data: data)[:300],
    initrd("ext4", pack=lambda data: b"070701" + b"zz" * 60),
    initrd("ext4", pack=lambda data: b"\xfd7zXZ\0" + bytes(50)),
])  # fmt: skip
def test_an_initrd_that_cannot_be_read_says_why(data):
    found = initramfs.look_into(data)
    assert (found.modules, bool(found.problem)) == (None, True)


@pytest.mark.parametrize("pack", [
    zstandard.compress, lambda data: zlib.compress(data, wbits=31), lambda data: bz2.compress(data), lzma.compress,
], ids=["zstd", "gzip", "bzip2", "xz"])  # fmt: skip
def test_a_bomb_in_an_initrd_is_noticed_while_it_is_small(pack, monkeypatch):
    monkeypatch.setattr(initramfs, "MAX_UNPACKED_BYTES", 4 << 20)
    assert "more than" in initramfs.look_into(pack(bytes(40 << 20))).problem


@pytest.mark.parametrize("name", ["../../etc/passwd", "./a/../../b", "/../x", "a/" * 3000 + "b"])
def test_an_archive_that_would_leave_its_tree_is_refused(tar_zst, name):
    with pytest.raises(BadImage, match="outside the tree"):
        look_into(tar_zst(None, member(name)), "tar.zst")


@pytest.mark.parametrize(
    ("target", "kind"), [("/etc/passwd", tarfile.SYMTYPE), ("../../../../etc/passwd", tarfile.SYMTYPE)]
)
def test_links_lead_nowhere_outside_the_image(tar_zst, target, kind):
    files = {name: content for name, content in tree().items() if name != "etc/os-release"}
    report, _ = look_into(tar_zst(files, member("./etc/os-release", kind, target)), "tar.zst")
    assert report.os_name == ""


def test_links_in_a_circle_end(tar_zst):
    circle = [
        member("./sbin", tarfile.SYMTYPE, "bin"),
        member("./bin", tarfile.SYMTYPE, "sbin"),
        member("./x", tarfile.SYMTYPE, "x/x"),
    ]
    report, _ = look_into(tar_zst(None, *circle), "tar.zst")
    assert report.problems == []


def test_a_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "RATIO_FROM_BYTES", 8 << 20)
    path = tmp_path / "bomb.tar.zst"
    path.write_bytes(zstandard.compress(image_files.tar(tree() | {"zeros": bytes(64 << 20)})))
    with pytest.raises(BadImage, match="times its size"):
        archive.read(path)


def test_an_absurd_kernel_table_is_refused(tar_zst, monkeypatch):
    monkeypatch.setattr("installs.images.intake.contract.tree.MAX_FILE_BYTES", 1000)
    with pytest.raises(BadImage, match="MiB large"):
        look_into(tar_zst(tree() | {f"boot/initrd.img-{RELEASE}": bytes(5000)}), "tar.zst")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_off_archive_is_noticed(tar_zst, keep):
    path = tar_zst(tree() | {"noise": random.Random(3).randbytes(500_000)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(BadImage, match="fetch the file again"):
        look_into(path, "tar.zst")


def test_an_archive_that_is_none_is_refused(tmp_path):
    path = tmp_path / "noise.tar.zst"
    path.write_bytes(zstandard.compress(b"hello" * 5000))
    with pytest.raises(BadImage):
        look_into(path, "tar.zst")


def test_a_cut_off_file_system_is_noticed(tmp_path):
    path = image_files.ext4(tmp_path / "root.ext4", tmp_path / "tree")
    with path.open("r+b") as file:
        file.truncate(1 << 20)
    with pytest.raises(BadImage, match="ends before"):
        look_into(path, "ext4")


def test_a_damaged_file_system_never_does_more_than_say_so(tmp_path):
    path = image_files.ext4(tmp_path / "root.ext4", tmp_path / "tree", None, "-b", "1024", size="4M")
    whole, chance = path.read_bytes(), random.Random(4)
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(40):
            data[chance.randrange(1024, 400_000)] = chance.randrange(256)
        path.write_bytes(data)
        try:
            look_into(path, "ext4")
        except BadImage:
            continue


def test_what_drivers_there_are_is_kept_and_found_again(tar_zst, tmp_path):
    _, found = look_into(tar_zst(), "tar.zst")
    drivers.save(found, tmp_path / "kept", "0" * 64)
    again = drivers.load(tmp_path / "kept", "0" * 64)
    assert again == found
    assert again.modules_for("pci:v00001000d0000005Dsv00001028sd00001F49bc01sc04i00") == ({"megaraid_sas"}, set())
    assert again.modules_for("pci:v0000144Dd0000A808sv0sd0bc01sc08i02") == (set(), {"nvme"})
    assert drivers.load(tmp_path / "kept", "1" * 64) is None


def test_the_parts_of_the_look_are_public():
    assert {"Report", "look_into", "BadImage"} == set(contract.__all__)


@pytest.mark.parametrize(("header", "has"), [("SCHILY.xattr.security.capability", True), ("comment", False)])
def test_attributes_of_an_archive_are_noticed(tmp_path, header, has):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, content in tree().items():
            info = member(f"./{name}")
            info.size, info.pax_headers = len(content), {header: "x"} if name == "usr/bin/curl" else {}
            made.addfile(info, io.BytesIO(content))
    path = tmp_path / "image.tar.zst"
    path.write_bytes(zstandard.compress(data.getvalue()))
    assert look_into(path, "tar.zst")[0].has_attributes is has
