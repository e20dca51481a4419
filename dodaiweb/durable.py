"""Files that are whole and still there after a power cut. Standard library only."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace `path` as a whole: whoever reads it, and whenever the power goes, has the old content or the new."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
