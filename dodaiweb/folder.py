"""The data folder: private, and run by one `up` at a time. Standard library only."""

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path


class FolderProblem(Exception):
    """The data folder cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Holder:
    """Who runs on a data folder; written into its lock for the next one who tries."""

    pid: int
    started_at: str
    url: str


def prepare(data: Path) -> None:
    """Make `data` and its `run` folder, both for their owner's eyes only."""
    try:
        for folder in (data, data / "run"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
    except OSError as error:
        raise FolderProblem(
            f"The data folder {data} cannot be used: {error.strerror or error}. Choose another with --data."
        ) from error


class Lock:
    """Holds `data` as long as this process lives: the kernel lets go of it, however the process ends."""

    def __init__(self, data: Path, holder: Holder) -> None:
        path = data / "run" / "lock"
        try:
            self._file = path.open("a+")
        except OSError as error:
            raise FolderProblem(
                f"{path} cannot be opened: {error.strerror}. Choose another folder with --data."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            raise FolderProblem(_in_use(data, self._file.read(4096))) from None
        self._file.truncate(0)
        self._file.write(json.dumps(asdict(holder)))
        self._file.flush()

    def close(self) -> None:
        self._file.truncate(0)
        self._file.close()


def _in_use(data: Path, text: str) -> str:
    try:
        holder = Holder(**json.loads(text))
        who = f"by process {holder.pid}, started {holder.started_at}, whose pages are at {holder.url}"
        end = f"End that one (Ctrl-C where it runs, or: kill {holder.pid})"
    except (ValueError, TypeError):
        who, end = "by another Dodai that is starting or ending", "Wait a moment and try again"
    return f"The data folder {data} is in use {who}. {end}, or use another folder with --data DIR."
