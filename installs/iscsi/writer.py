"""Writes a raw image onto an iSCSI target: qemu-img, in a network of its own from which one relay leads out.

The format of what it reads is named and is raw, so nothing of the image is interpreted. Its secret comes by a pipe:
it stands in no command line, no environment and no file.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from installs.iscsi import inside
from installs.iscsi.relay import Relay

LUN = 1
INITIATOR = "iqn.2026-11.dodai:server"
JAIL = ("unshare", "--user", "--map-root-user", "--net", "--ipc", "--mount", "--")
LIMITS = ("prlimit", f"--as={2 << 30}", f"--fsize={1 << 16}", "--core=0", "--nofile=64", "--")
HARMLESS = ("setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--")
IN_FLIGHT = 8
START_SECONDS = 60
SILENCE_SECONDS = 120.0
LOOK_SECONDS = 0.5
LAST_WORDS_SECONDS = 10.0  # that qemu-img has to end by itself once its connection is gone, well or with its own words
PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")
REFUSED = re.compile(r"uthentication|Authorization|login", re.IGNORECASE)

Told = Callable[[float], None]


class CannotWrite(Exception):
    """The message is for the operator; `cause` groups failures."""

    def __init__(self, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Target:
    """Where to write. `holds_zeros`: what is zero in the image need not be written."""

    address: str
    port: int
    name: str
    user: str
    secret: str = field(repr=False)
    holds_zeros: bool = False


def write(source: Path, target: Target, told: Told, *, program: Sequence[str], environment: Mapping[str, str]) -> None:
    """Write all of `source`. `told` hears about twice a second which share is written; what it raises stops it at once.

    Raises CannotWrite.
    """
    words: IO[bytes]
    with tempfile.TemporaryFile() as words, _started(source, target, program, environment, words) as (process, relay):
        _follow(process, relay, told)
        if process.returncode == 0:
            return
        words.seek(0)
        said = words.read(10_000).decode(errors="replace").strip().splitlines()
        raise _problem(target, relay, said[-1] if said else f"code {process.returncode}")


@contextmanager
def _started(
    source: Path, target: Target, program: Sequence[str], environment: Mapping[str, str], words: IO[bytes]
) -> Iterator[tuple["subprocess.Popen[bytes]", Relay]]:
    ours, theirs = socket.socketpair()
    secret, sink = os.pipe()
    os.write(sink, target.secret.encode())
    os.close(sink)
    command = [
        *JAIL, sys.executable, "-I", "-S", inside.__file__, str(theirs.fileno()), *HARMLESS, *LIMITS, *program,
        *_words(source, target, secret),
    ]  # fmt: skip
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env=dict(environment),
            pass_fds=(theirs.fileno(), secret),
        )  # fmt: skip
    finally:
        theirs.close()
        os.close(secret)
    relay = None
    try:
        relay = Relay(_handed_out(ours, process, words), target.address, target.port)
        yield process, relay
    finally:
        process.kill()
        process.wait()
        if relay:
            relay.close()
        if process.stdout:
            process.stdout.close()


def _words(source: Path, target: Target, secret: int) -> list[str]:
    opened = {"driver": "raw", "file": {"driver": "file", "filename": str(source), "locking": "off"}}
    written = {
        "driver": "raw",
        "file": {
            "driver": "iscsi", "transport": "tcp", "portal": f"127.0.0.1:{inside.PORT}", "target": target.name,
            "lun": LUN, "user": target.user, "password-secret": "chap", "initiator-name": INITIATOR,
        },
    }  # fmt: skip
    zeros = ["--target-is-zero"] if target.holds_zeros else []
    return [
        "convert", "--object", f"secret,id=chap,file=/dev/fd/{secret}", "-p", "-n", *zeros, "-W", "-m", str(IN_FLIGHT),
        "-t", "none", f"json:{json.dumps(opened)}", f"json:{json.dumps(written)}",
    ]  # fmt: skip


def _handed_out(ours: socket.socket, process: "subprocess.Popen[bytes]", words: IO[bytes]) -> socket.socket:
    """The socket that listens in there. Raises CannotWrite."""
    with ours:
        ours.settimeout(START_SECONDS)
        descriptors: list[int] = []
        with suppress(OSError):
            descriptors = socket.recv_fds(ours, 1, 1)[1]
    if descriptors:
        return socket.socket(fileno=descriptors[0])
    process.kill()
    process.wait()
    words.seek(0)
    said = words.read(1000).decode(errors="replace").strip().splitlines() or ["it said nothing"]
    raise CannotWrite(f"qemu-img could not be shut in, so it was not run ({said[-1][:200]}).", cause="jail")


def _follow(process: "subprocess.Popen[bytes]", relay: Relay, told: Told) -> None:
    """Until it ends, or has to be ended because nothing more can come of it."""
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    share, broken_at = 0.0, None
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
        found = PERCENT.findall(process.stdout.read() or b"")
        share = float(found[-1]) / 100 if found else share
        told(share)
        if time.monotonic() - relay.moved_at > SILENCE_SECONDS:
            relay.problem = relay.problem or f"not one byte in {SILENCE_SECONDS:.0f} s"
        if relay.problem:
            broken_at = broken_at or time.monotonic()
            if time.monotonic() - broken_at > LAST_WORDS_SECONDS:
                process.kill()


def _problem(target: Target, relay: Relay, said: str) -> CannotWrite:
    where = f"{target.address}, port {target.port}"
    said = said.rpartition("}': ")[2].replace(target.secret, "…")[:300]  # behind its own command line
    if relay.problem and not relay.is_reached:
        return CannotWrite(
            f"the disk that it exports cannot be reached at {where} ({relay.problem}): see that no firewall stands "
            "between Dodai and the machine.", cause="iscsi-unreachable",
        )  # fmt: skip
    if REFUSED.search(said):
        return CannotWrite(f"it did not let Dodai write its disk at {where} ({said}).", cause="iscsi-refused")
    if relay.problem:
        moved = relay.moved_bytes >> 20
        return CannotWrite(
            f"the connection to the disk at {where} broke after {moved} MiB ({relay.problem}). The disk cannot boot.",
            cause="network-lost",
        )
    return CannotWrite(f"qemu-img could not write the disk at {where} ({said}).", cause="iscsi")
