"""One request on standard input, one answer on standard output, both JSON. An ISO image is standard input itself.

answers: {"kind", "template", "values", "options"}  ->  {"text", "before", "problems"}
iso:     nothing but the image                      ->  {"files": {path: [[offset, bytes], ...]}} or {"problems"}
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from installs.cell import autoinstall, iso, kickstart, preseed
from installs.cell.answers import Answers
from installs.cell.closed import CannotClose, close_in
from installs.cell.problems import Problem
from installs.cell.rendering import NotRendered, render

MEMORY_BYTES, CPU_SECONDS = 512 << 20, 3
ISO_CPU_SECONDS = 120

Prepare = Callable[[str, dict[str, Any]], Answers]


def main(task: str, version: str = "") -> None:
    """`version` is the release whose Kickstart is read; its parser is loaded before the process is closed in."""
    try:
        if task == "iso":
            close_in(memory_bytes=2 * MEMORY_BYTES, cpu_seconds=ISO_CPU_SECONDS)
            answer = iso.index(sys.stdin.buffer)
        else:
            prepare = _prepare(task, version)
            close_in(memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS)
            answer = _answers(json.load(sys.stdin), prepare)
    except CannotClose as problem:
        answer = {"cannot": str(problem)}
    except MemoryError:
        answer = {"problems": [Problem("too-much").as_json()]}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def _prepare(kind: str, version: str) -> Prepare:
    if kind == "kickstart":
        handler = kickstart.load(version)
        return lambda text, options: kickstart.prepare(text, options, handler)
    return {"preseed": preseed.prepare, "autoinstall": autoinstall.prepare}[kind]


def _answers(request: dict[str, Any], prepare: Prepare) -> dict[str, Any]:
    try:
        text = render(request["template"], request["values"])
        return prepare(text, request["options"]).as_json()
    except NotRendered as problem:
        return {"text": "", "before": "", "problems": [problem.problem.as_json()]}
    except RecursionError:
        return {"text": "", "before": "", "problems": [Problem("too-much").as_json()]}
