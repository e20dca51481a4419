"""The stream of a disk image, run by bash here against a server that breaks it; a file stands for the disk."""

import hashlib
import os
import random
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from installs import scripts
from installs.images.contract import disk as contract
from tests import disk_files
from tests.disk_files import MIB
from tests.test_scripts import VALUES, of_lib

WHOLE = disk_files.gpt(8)
KINDS = ("raw", "raw.zst", "raw.gz")


@dataclass
class Files:
    """One file over HTTP; `answers` has for each request how many bytes it gets, or a status instead."""

    content: bytes
    answers: list[int | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    has_ranges: bool = True
    url: str = ""


@pytest.fixture
def serve() -> Iterator[Callable[..., Files]]:
    servers = []

    def serve(content: bytes, *answers: int | None, has_ranges: bool = True) -> Files:
        files = Files(content, list(answers), has_ranges=has_ranges)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(files))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        files.url = f"http://127.0.0.1:{server.server_port}/image"
        return files

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def _handler(files: Files) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            files.asked.append(asked)
            answer = files.answers.pop(0) if files.answers else None
            if answer is not None and 400 <= answer < 600:
                self.send_response(answer)
                self.send_header("Retry-After", "7")
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and files.has_ranges else 0
            rest = files.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(files.content) - 1}/{len(files.content)}")
            self.end_headers()
            self.wfile.write(rest if answer is None else rest[:answer])

        def log_message(self, *words: object) -> None:
            pass

    return Handler


@dataclass
class Machine:
    """A disk of 16 MiB with old data on it, and what the script said of a try to write it."""

    folder: Path

    @property
    def disk(self) -> bytes:
        return (self.folder / "disk").read_bytes()

    @property
    def can_boot(self) -> bool:
        return self.disk[510:512] == b"\x55\xaa" or b"EFI PART" in self.disk

    def write(self, files: Files, kind: str, content: bytes | None = None, *, then: str = "", sparse: str = "") -> str:
        """`content` is what the catalogue knows; by default it is what the server has."""
        known = files.content if content is None else content
        (self.folder / "sparse").write_text(sparse)
        samples = contract.Samples()
        for at in range(0, len(WHOLE), MIB):
            samples.take(at, WHOLE[at : at + MIB])
        parts = [scripts.render(f"disk_image/{name}.sh") for name in ("place", "stream")]
        text = "\n".join([of_lib("take_status", "pause_of"), *parts])
        lines = "\n".join(f"{at} {sha}" for at, sha in samples.kept)
        script = f"""set -Eeuo pipefail; WORK={self.folder}; LOG=$WORK/log; DISK=$WORK/disk; readonly MIB={MIB}
            LONGEST_PAUSE=60 RETRY_SECONDS=5
            IMAGE_NAME=tiny IMAGE_KIND={kind} IMAGE_URL={files.url} IMAGE_BYTES={len(known)}
            IMAGE_SHA256={hashlib.sha256(known).hexdigest()} IMAGE_UNPACKED_BYTES={len(WHOLE)}
            SAMPLE_BYTES={contract.SAMPLE_BYTES} SAMPLES='{lines}'
            fail() {{ echo "FAIL $1: $2" | tee "$WORK/failure"; exit 3; }}
            sleep() {{ echo "$1" >>"$WORK/sleeps"; command sleep 0.1; }}
            {text}
            cause=; write_image; {then}"""
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        said = (self.folder / "failure").read_text() if (self.folder / "failure").exists() else ""
        assert (done.returncode == 0) is not bool(said), done
        return said


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "disk").write_bytes(bytes(MIB) + b"old" * (5 * MIB))
    return Machine(tmp_path)


MAKE_BOOTABLE = "verify_image; relocate_table() { :; }; make_bootable"


@pytest.mark.parametrize("kind", KINDS)
def test_the_disk_becomes_what_the_image_is(machine: Machine, serve, kind: str) -> None:
    files = serve(disk_files.packed(WHOLE, kind))
    assert machine.write(files, kind, then=MAKE_BOOTABLE) == ""
    assert machine.disk[: len(WHOLE)] == WHOLE


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_holds_zeros_gets_only_what_is_no_zero(machine: Machine, serve, kind: str) -> None:
    (machine.folder / "disk").write_bytes(bytes(16 * MIB))
    assert machine.write(serve(disk_files.packed(WHOLE, kind)), kind, then=MAKE_BOOTABLE, sparse="sparse") == ""
    assert machine.disk[: len(WHOLE)] == WHOLE


@pytest.mark.parametrize("kind", KINDS)
def test_what_makes_it_boot_comes_last(machine: Machine, serve, kind: str) -> None:
    assert machine.write(serve(disk_files.packed(WHOLE, kind)), kind) == ""
    assert machine.disk[: len(WHOLE)] == bytes(MIB) + WHOLE[MIB:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_breaks_goes_on_where_it_was(machine: Machine, serve, kind: str) -> None:
    content = disk_files.packed(WHOLE, kind)
    cuts = [len(content) // 3, 503, len(content) // 4, 0]
    files = serve(content, *cuts)
    assert machine.write(files, kind, then=MAKE_BOOTABLE) == ""
    assert machine.disk[: len(WHOLE)] == WHOLE
    assert files.asked[:2] == ["", f"bytes={len(content) // 3}-"]


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_leave_a_disk_that_cannot_boot(machine: Machine, serve, kind: str) -> None:
    content, luck = disk_files.packed(WHOLE, kind), random.Random(5)
    for _ in range(4):
        spoilt, at = bytearray(content), luck.randrange(len(content) * 8)
        spoilt[at // 8] ^= 1 << at % 8
        said = machine.write(serve(bytes(spoilt)), kind, content, then=MAKE_BOOTABLE)
        assert said.startswith("FAIL digest"), at
        assert not machine.can_boot, at
        (machine.folder / "failure").unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_too_short_leaves_a_disk_that_cannot_boot(machine: Machine, serve, kind: str) -> None:
    content = disk_files.packed(WHOLE, kind)
    said = machine.write(serve(content[: len(content) // 2]), kind, content, then=MAKE_BOOTABLE)
    assert said.startswith(("FAIL fetch", "FAIL digest"))
    assert not machine.can_boot


@pytest.mark.parametrize(("answer", "words"), [(404, "HTTP 404"), (410, "HTTP 410")])
def test_a_server_that_has_it_no_more_is_told(machine: Machine, serve, answer: int, words: str) -> None:
    said = machine.write(serve(disk_files.packed(WHOLE, "raw.gz"), answer), "raw.gz")
    assert said.startswith("FAIL fetch") and words in said
    assert not machine.can_boot


@pytest.mark.parametrize("answer", [408, 425, 429, 503])
def test_a_server_that_may_have_it_later_is_asked_again_when_it_wants(machine: Machine, serve, answer: int) -> None:
    assert machine.write(serve(WHOLE, 3 * MIB, answer), "raw", then=MAKE_BOOTABLE) == ""
    assert machine.can_boot
    assert (machine.folder / "sleeps").read_text().split() == ["1", "7"]


def test_a_server_without_ranges_is_told(machine: Machine, serve) -> None:
    said = machine.write(serve(WHOLE, 3 * MIB, has_ranges=False), "raw")
    assert said.startswith("FAIL fetch: The server cannot go on in the middle")
    assert not machine.can_boot


def test_another_image_than_planned_leaves_a_disk_that_cannot_boot(machine: Machine, serve) -> None:
    other = disk_files.packed(disk_files.gpt(8, seed=9), "raw")
    assert machine.write(serve(other), "raw", WHOLE, then=MAKE_BOOTABLE).startswith("FAIL digest")
    assert not machine.can_boot


def test_a_disk_that_lost_what_was_written_is_found_out(machine: Machine, serve) -> None:
    lose = f"dd if=/dev/zero of=$DISK bs={MIB} seek=4 count=1 conv=notrunc status=none; "
    said = machine.write(serve(WHOLE), "raw", then=lose + MAKE_BOOTABLE)
    assert said.startswith("FAIL disk: The disk") and f"differs at byte {4 * MIB}" in said
    assert not machine.can_boot


def test_a_disk_that_takes_nothing_is_told(machine: Machine, serve) -> None:
    said = machine.write(serve(WHOLE), "raw", then="DISK=/dev/full; rm -f $WORK/dd; write_image")
    assert said.startswith("FAIL disk: The disk /dev/full does not take the image")


@pytest.mark.parametrize(("path", "wanted"), [(os.environ["PATH"], MIB), ("/nowhere", 65536)])
def test_a_pipe_is_wide_where_the_ramdisk_can_ask_for_it(path: str, wanted: int) -> None:
    asked = "import fcntl, sys; print(fcntl.fcntl(1, fcntl.F_GETPIPE_SZ), file=sys.stderr)"
    ask = shlex.join([sys.executable, "-c", asked])
    script = f"""set -Eeuo pipefail; {scripts.render("disk_image/stream.sh")}
        {{ PATH={path}; widen_pipes 1; {ask}; }} | while read -r; do :; done"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, f"{wanted}\n")


def test_the_values_of_a_script_hold_the_samples() -> None:
    assert "b" * 64 in scripts.render("disk_image/install.sh", **VALUES)
