"""Images made from `tiny` for these tests."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import zstandard

from installs.images.debian import builder
from lab import tiny_disk

EXT4_MIB = 96
DEBIAN_MIB = 768  # of which 570 are full
SECONDS = 180


def tiny(data: Path) -> Path:
    """The newest file that `up` has built."""
    return max((data / "lab" / "images").glob("tiny-*.tar.zst"), key=lambda path: path.stat().st_mtime)


def make_ext4(archive: Path, target: Path) -> None:
    """The tree of a packed archive as an ext4 file system. Its files are root's only if root makes it."""
    with tempfile.TemporaryDirectory() as tree:
        _run("tar", "--extract", "--zstd", "--file", str(archive), "--directory", tree, "--no-same-owner")
        owner = () if os.geteuid() == 0 else ("-E", "root_owner=0:0")
        _run("mke2fs", "-q", "-t", "ext4", *owner, "-d", tree, str(target), f"{EXT4_MIB}M")


def debian_disk(data: Path, target: Path, *, also: tuple[str, ...]) -> None:
    """Debian 12 with these packages besides, as the packed image of a whole disk. Root only: its files have owners."""
    raw = target.with_suffix("")
    with builder.build(data, lambda text: None, lambda phase, done, total: None, also=also) as built:
        tiny_disk.build(data, raw, system=debian_system(built.path))
    with raw.open("rb") as source, target.open("wb") as sink:
        zstandard.ZstdCompressor(level=3, threads=-1, write_checksum=True).copy_stream(source, sink)
    raw.unlink()


def debian_system(archive: Path) -> tiny_disk.System:
    with zstandard.open(archive) as file, tarfile.open(fileobj=file, mode="r|") as tree:
        [release] = [name.partition("vmlinuz-")[2] for name in tree.getnames() if name.startswith("./boot/vmlinuz-")]
    return tiny_disk.System(archive, DEBIAN_MIB, f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}", "rw")


def with_other_bytes(archive: Path, target: Path) -> None:
    """The same content in a file of another digest: with a frame that unpackers skip (RFC 8878, 3.1.2)."""
    comment = b"another file"
    target.write_bytes(
        archive.read_bytes() + 0x184D2A50.to_bytes(4, "little") + len(comment).to_bytes(4, "little") + comment
    )


def spoil(stored: Path) -> None:
    """Change one bit of a stored image; its size stays."""
    with stored.open("r+b") as file:
        file.seek(stored.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def _run(*command: str) -> None:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    subprocess.run(command, check=True, timeout=SECONDS, env=os.environ | {"PATH": path})
