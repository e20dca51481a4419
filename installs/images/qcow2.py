"""Turns a qcow2 into a packed raw image: its header is read here, its content by qemu-img in a jail.

A qcow2 may name other files (a backing file, a data file) that whoever reads it would open: such are refused. qemu-img
runs without a network, as nobody who could do more, and with an end to its time, its memory and what it writes.
"""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import zstandard

from installs.images.contract.disk import MAX_DISK_BYTES

MAGIC = b"QFI\xfb"
HEADER_BYTES, MOST_HEADER_BYTES = 104, 4096
CLUSTER_BITS = range(9, 22)
ALLOWED_INCOMPATIBLE = 0b11000  # compression type, extended L2 entries: no dirty or corrupt one, no data file
EXTENSIONS = {
    0x00000000: "", 0x6803F857: "", 0x23852875: "",  # the end, the table of feature names, bitmaps
    0xE2792ACA: "names a backing file", 0x44415441: "names a data file", 0x0537BE77: "is encrypted",
}  # fmt: skip
MEMORY_BYTES = 2 << 30  # of addresses; qemu-img itself maps half a GiB
SECONDS = 3600
PIECE_BYTES = 1 << 20
LEVEL = 3
JAIL = ("unshare", "--user", "--net", "--ipc", "--mount")
ADVICE = "convert it yourself (qemu-img convert -O raw) and take in the raw image"

Told = Callable[[int, int], None]


class Refused(Exception):
    """It is not converted. The message says why and what to do."""


def is_one(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def convert(source: Path, raw: Path, packed: Path, told: Told = lambda done, total: None) -> None:
    """Make `packed`, zstd, by way of the sparse file `raw`. Raises Refused."""
    size = disk_bytes(source)
    _run_jailed(source, raw, size, told)
    _pack(raw, packed, told)
    raw.unlink()


def disk_bytes(path: Path) -> int:
    """The size of the disk by the header, which must be that of a qcow2 that stands alone. Raises Refused."""
    with path.open("rb") as file:
        head = file.read(MOST_HEADER_BYTES)
    if len(head) < 72 or head[:4] != MAGIC:
        raise Refused("it is no qcow2")
    version, backing_at, _, cluster_bits, size, crypt = struct.unpack_from(">IQIIQI", head, 4)
    if version not in (2, 3):
        raise Refused(f"its version {version} of qcow2 is unknown: {ADVICE}")
    if backing_at:
        raise Refused(f"it needs another file, its backing file: {ADVICE}")
    if crypt:
        raise Refused(f"it is encrypted: {ADVICE}")
    if cluster_bits not in CLUSTER_BITS or not 0 < size <= MAX_DISK_BYTES:
        raise Refused(
            f"its header is damaged, or its disk larger than {MAX_DISK_BYTES >> 30} GiB: fetch the file again"
        )
    _check_extensions(head, version)
    return int(size)


def _check_extensions(head: bytes, version: int) -> None:
    at = 72
    if version == 3:
        if len(head) < HEADER_BYTES:
            raise Refused("it is cut off: fetch the file again")
        incompatible, at = struct.unpack_from(">Q", head, 72)[0], struct.unpack_from(">I", head, 100)[0]
        if incompatible & ~ALLOWED_INCOMPATIBLE:
            raise Refused(f"it was not closed, is damaged, or keeps its data in another file: {ADVICE}")
        if not HEADER_BYTES <= at <= MOST_HEADER_BYTES:
            raise Refused("its header is damaged: fetch the file again")
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        if words := EXTENSIONS.get(kind, "has a part that nobody here knows"):
            raise Refused(f"it {words}: {ADVICE}")
        at += 8 + (length + 7) // 8 * 8
    if version == 3:
        raise Refused("its header is damaged: fetch the file again")


def _run_jailed(source: Path, raw: Path, size: int, told: Told) -> None:
    """The header of the file may have more to say than was read here; so its words are overruled, too."""
    missing = [name for name in ("qemu-img", "unshare", "prlimit") if not shutil.which(name)]
    if missing:
        raise Refused(f"{missing[0]} is not installed (packages qemu-utils and util-linux): install it, or {ADVICE}")
    limits = (f"--as={MEMORY_BYTES}", f"--cpu={SECONDS}", f"--fsize={size}", "--core=0", "--nofile=64", "--nproc=4096")
    opened = {"driver": "qcow2", "file": {"driver": "file", "filename": str(source)}, "backing": None}
    command = [
        *JAIL, "prlimit", *limits, "qemu-img", "convert", "-q", "-O", "raw", f"json:{json.dumps(opened)}", str(raw),
    ]  # fmt: skip
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    with tempfile.TemporaryFile() as words:
        jailed = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=environment)
        try:
            code = _awaited(jailed, raw, size, told)
        finally:
            jailed.kill()  # whoever cancelled the import is heard here
            jailed.wait()
        words.seek(0)
        said = words.read(100_000).decode(errors="replace").strip().splitlines()
    if code:
        last = (said or [f"code {code}"])[-1].rpartition("}': ")[2][:300]
        raise Refused(f"it could not be converted ({last}): it is damaged, or {ADVICE}")


def _awaited(jailed: "subprocess.Popen[bytes]", raw: Path, size: int, told: Told) -> int:
    """Its exit code. `told` hears once a second what was written so far, and may raise."""
    end = time.monotonic() + 2 * SECONDS
    while time.monotonic() < end:
        with suppress(subprocess.TimeoutExpired):
            return jailed.wait(1)
        told(raw.stat().st_blocks * 512 if raw.exists() else 0, size)
    raise Refused(f"it could not be converted in {2 * SECONDS} s: {ADVICE}")


def _pack(raw: Path, packed: Path, told: Told) -> None:
    done, total = 0, raw.stat().st_size
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with raw.open("rb") as source, packed.open("wb") as sink, packer.stream_writer(sink, size=total) as writer:
        while piece := source.read(PIECE_BYTES):
            writer.write(piece)
            done += len(piece)
            told(done, total)
