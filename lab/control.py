"""The running lab's control socket: one JSON object in, one out. Only the owner of the data folder can open it."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from lab.errors import LabError, NotRunning
from lab.profiles import lab_folder

ANSWER_SECONDS = 30  # a lab that starts five guests at once on a busy host
REQUEST_BYTES = 4096

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def ask(data: Path, do: str, **arguments: object) -> dict[str, Any]:
    """What the running lab answers. Raises NotRunning, or LabError with the lab's own words."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            with short_path(data) as path:
                connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NotRunning(
                f"No lab is running for {data}. `python3 manage.py up` starts one, `python3 manage.py lab run` by hand."
            ) from exc
        try:
            connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline() or b"{}")
        except (OSError, ValueError) as exc:
            raise LabError(f"the lab of {data} did not answer: {exc}") from exc
    if not isinstance(answer, dict) or not answer or "error" in answer:
        raise LabError(answer["error"] if answer else f"the lab of {data} ended while it was asked")
    return answer


async def serve(data: Path, answer: Answer) -> asyncio.Server:
    """Listen. The caller holds the lab's lock: a socket that lies there is a killed run's."""
    (lab_folder(data) / "control.sock").unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    with short_path(data) as path:
        listening.bind(path)
    os.chmod(lab_folder(data) / "control.sock", 0o600)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            with contextlib.suppress(ConnectionError, TimeoutError):  # the asker has gone: nobody to tell
                writer.write(await _answer(reader, answer) + b"\n")
                await asyncio.wait_for(writer.drain(), ANSWER_SECONDS)

    return await asyncio.start_unix_server(connected, sock=listening, limit=REQUEST_BYTES)


async def _answer(reader: asyncio.StreamReader, answer: Answer) -> bytes:
    try:
        request = json.loads(await asyncio.wait_for(reader.readline(), ANSWER_SECONDS))
        return json.dumps(await answer(request)).encode()
    except LabError as exc:
        return json.dumps({"error": str(exc)}).encode()
    except (ValueError, TypeError) as exc:
        return json.dumps({"error": f"not a request: {exc}"}).encode()


@contextlib.contextmanager
def short_path(data: Path) -> Iterator[str]:
    """The socket's path by way of an open folder: a Unix socket's path holds 107 bytes, a data folder's may be more."""
    try:
        directory = os.open(lab_folder(data), os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError as exc:
        raise NotRunning(f"No lab is running for {data}, and there never was one.") from exc
    try:
        yield f"/proc/self/fd/{directory}/control.sock"
    finally:
        os.close(directory)
