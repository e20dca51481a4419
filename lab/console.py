"""A server's serial console, kept in a file that cannot fill the disk."""

import asyncio
import logging
import socket
from pathlib import Path

log = logging.getLogger(__name__)

KEEP_BYTES = 1 << 20  # after a trim the last MiB is left
TRIM_BYTES = 2 * KEEP_BYTES
_CHUNK = 1 << 16


class CappedLog:
    """Appends to `path`; once it holds TRIM_BYTES the last KEEP_BYTES stay, under the same name.

    Who follows the file by offset starts again at 0 when it has become shorter.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, text: bytes) -> None:
        self._size += self._file.write(text) or 0
        if self._size > TRIM_BYTES:
            self._trim()

    def close(self) -> None:
        self._file.close()

    def _trim(self) -> None:
        kept = tail(self.path, KEEP_BYTES)
        kept = kept[kept.find(b"\n") + 1 :]
        shorter = self.path.with_suffix(".new")
        shorter.write_bytes(kept)
        shorter.replace(self.path)
        self._file.close()
        self._file, self._size = self.path.open("ab", buffering=0), len(kept)


def tail(path: Path, count: int) -> bytes:
    """The last `count` bytes of a file; nothing if there is no such file yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - count))
            return file.read(count)
    except FileNotFoundError:
        return b""


async def record(ours: socket.socket, kept: CappedLog) -> None:
    """Copy what the serial port says until QEMU closes it. A disk that is full costs lines, not the server."""
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        while text := await reader.read(_CHUNK):
            try:
                kept.write(text)
            except OSError as exc:
                log.warning("%s: console lines lost: %s", kept.path, exc)
    except ConnectionError:
        pass  # QEMU was killed: the same as its closing the port
    finally:
        writer.close()
        kept.close()
