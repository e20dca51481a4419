"""The ramdisk's modules and its archive."""

import io
import lzma
import stat
from pathlib import Path

import pytest

from installs.ramdisk import RamdiskError
from installs.ramdisk.archive import Tree
from installs.ramdisk.contents import SETS, Contents
from installs.ramdisk.layout import _with_dependencies
from installs.ramdisk.modules import ModuleTree, canonical, parse_info


def module(folder: Path, name: str, *, depends: str = "", soft: str = "", firmware: str = "") -> None:
    path = folder / "kernel" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = [f"depends={depends}"] + [f"softdep={soft}"] * bool(soft) + [f"firmware={firmware}"] * bool(firmware)
    path.write_bytes(b"\x7fELF\0" + b"".join(field.encode() + b"\0" for field in fields))


@pytest.fixture
def modules(tmp_path: Path) -> ModuleTree:
    module(tmp_path, "fs/ext4/ext4.ko", depends="mbcache,jbd2", soft="pre: crc32c")
    module(tmp_path, "fs/mbcache.ko")
    module(tmp_path, "fs/jbd2/jbd2.ko", depends="crc16")
    module(tmp_path, "lib/crc16.ko")
    module(tmp_path, "crypto/crc32c.ko")
    module(tmp_path, "drivers/net/ethernet/bnx2.ko", firmware="bnx2/bnx2-mips-09.fw")
    module(tmp_path, "drivers/virtio/virtio-rng.ko")
    return ModuleTree(tmp_path)


def test_a_module_brings_all_that_it_needs(modules: ModuleTree) -> None:
    assert set(modules.closure(["ext4"])) == {"ext4", "mbcache", "jbd2", "crc16", "crc32c"}


def test_a_module_built_into_the_kernel_is_left_out(modules: ModuleTree) -> None:
    assert set(modules.closure(["af_packet", "virtio_rng"])) == {"virtio_rng"}


def test_a_set_brings_its_folders(modules: ModuleTree) -> None:
    chosen = modules.chosen(Contents("x", modules=("jbd2",), folders=("drivers/net/ethernet",)))
    assert set(chosen) == {"jbd2", "crc16", "bnx2"}
    assert chosen["bnx2"].firmware == {"bnx2/bnx2-mips-09.fw"}


def test_modules_in_a_circle_end() -> None:
    info = parse_info(b"\0depends=a,b\0softdep=pre: c post: d\0")
    assert (info.depends, info.soft) == ({"a", "b"}, {"c", "d"})


def test_a_compressed_module_is_read(tmp_path: Path) -> None:
    module(tmp_path, "lib/a.ko")
    module(tmp_path, "lib/b.ko")
    plain = tmp_path / "kernel/lib/a.ko"
    plain.with_suffix(".ko.xz").write_bytes(lzma.compress(plain.read_bytes().replace(b"depends=", b"depends=b")))
    plain.unlink()
    assert set(ModuleTree(tmp_path).closure(["a"])) == {"a", "b"}


@pytest.mark.parametrize(("name", "words"), [("a.ko.xz", "damaged"), ("a.ko.gz", "cannot read")])
def test_a_module_that_cannot_be_read_is_named(tmp_path: Path, name: str, words: str) -> None:
    module(tmp_path, f"lib/{name}")
    with pytest.raises(RamdiskError, match=f"{name} is .*{words}"):
        ModuleTree(tmp_path).closure(["a"])


@pytest.mark.parametrize(("file", "name"), [("virtio-rng.ko", "virtio_rng"), ("a.ko.xz", "a"), ("e1000e.ko", "e1000e")])
def test_a_file_name_gives_the_modules_name(file: str, name: str) -> None:
    assert canonical(file) == name


def test_the_real_set_carries_the_lab_set() -> None:
    assert set(SETS["lab"].modules) <= set(SETS["real"].modules)


def test_grub_modules_bring_their_own() -> None:
    assert _with_dependencies(["ext2"], "ext2: fshelp\nfshelp: \nxfs: fshelp\n") == {"ext2", "fshelp"}


def archive_of(*, reverse: bool) -> bytes:
    tree = Tree()
    for name in sorted(("usr/bin/b", "usr/bin/a"), reverse=reverse):
        tree.program(name, name.encode())
    tree.link("bin", "/usr/bin")
    tree.character_device("dev/console", 5, 1)
    sink = io.BytesIO()
    tree.write(sink)
    return sink.getvalue()


def entries_of(archive: bytes) -> dict[str, tuple[int, int, bytes]]:
    """name: (mode, owner, content), read as the kernel reads it."""
    found, at = {}, 0
    while True:
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        body = at + (110 + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], fields[2] + fields[3], archive[body : body + fields[6]])
        at = body + (fields[6] + 3) // 4 * 4


def test_the_same_tree_gives_the_same_bytes() -> None:
    assert archive_of(reverse=False) == archive_of(reverse=True)


def test_the_archive_reads_back_with_root_as_owner() -> None:
    found = entries_of(archive_of(reverse=False))
    assert list(found) == ["bin", "dev", "dev/console", "usr", "usr/bin", "usr/bin/a", "usr/bin/b"]
    assert found["usr/bin/a"] == (stat.S_IFREG | 0o755, 0, b"usr/bin/a")
    assert found["bin"] == (stat.S_IFLNK | 0o777, 0, b"/usr/bin")
    assert {owner for _, owner, _ in found.values()} == {0}
