"""Has strangers' text and files read in a closed process (installs/cell): no network, no files, little time."""

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from installs.cell.__main__ import main; main(*sys.argv[1:])"
ANSWER_BYTES = 64 << 20  # an index of the largest image
SECONDS = {"iso": 300.0}
OTHERWISE_SECONDS = 30.0  # of which the process may think for a few; the rest is for a busy computer


class CellProblem(Exception):
    """Nothing came of it. The message is for the operator."""


def answers(kind: str, template: str, values: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Render an answer file and look at it: {"text", "before", "problems"}. Raises CellProblem.

    `kind` is preseed, kickstart or autoinstall.
    """
    request = {"template": template, "values": values, "options": options}
    with os.fdopen(os.memfd_create("answers"), "w+b") as file:  # never on a disk: there are secrets in it
        file.write(json.dumps(request).encode())
        file.seek(0)
        return _run([kind, str(options.get("release", ""))], file)


def iso_files(path: Path) -> dict[str, Any]:
    """{"files": {path: [[offset, bytes], ...]}} of an ISO image, or {"problems"}. Raises CellProblem."""
    with path.open("rb") as file:
        return _run(["iso"], file)


def _run(arguments: list[str], file: IO[bytes]) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", PROGRAM, *arguments], stdin=file, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={"LANG": "C.UTF-8"}, cwd="/", start_new_session=True,
    )  # fmt: skip
    try:
        said = _all_of(process, time.monotonic() + SECONDS.get(arguments[0], OTHERWISE_SECONDS))
    finally:
        process.kill()
        process.wait()
    try:
        answer = json.loads(said)
    except ValueError:
        raise CellProblem("It took more time or memory than it may: make it simpler.") from None
    if "cannot" in answer:
        raise CellProblem(answer["cannot"])
    return dict(answer)


def _all_of(process: "subprocess.Popen[bytes]", end: float) -> bytes:
    """What it says until it ends, but no more than it may and no longer than until `end`. Raises CellProblem."""
    assert process.stdout
    kept: list[bytes] = []
    size = 0
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while selector.select(max(end - time.monotonic(), 0)):
            piece = os.read(pipe.fileno(), 1 << 16)
            if not piece:
                return b"".join(kept)
            kept.append(piece)
            size += len(piece)
            if size > ANSWER_BYTES:
                raise CellProblem("What came of it is larger than it may be.")
    raise CellProblem("It was not read in time: make it simpler, or try again when this computer is less busy.")
