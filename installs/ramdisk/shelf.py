"""The ramdisks that are built: data/ramdisk/<version>/{vmlinuz,initrd,manifest.json}."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEPT = 3  # of each set, besides those of the last week: an install may be under way with an older one
KEPT_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Ramdisk:
    """A built ramdisk. `packages` maps package names to versions; `recipe` names what it was built from.

    `options` are the build's: firmware and backports_kernel, true or false.
    """

    name: str
    version: str
    kernel: Path
    initrd: Path
    modules: frozenset[str]
    packages: Mapping[str, str]
    options: Mapping[str, bool]
    kernel_release: str
    recipe: str
    built_at: float

    @property
    def kernel_package(self) -> str:
        return f"linux-image-{self.kernel_release}"


def latest(name: str, data: Path) -> Ramdisk | None:
    """The set's newest ramdisk in this data folder."""
    return max(on_shelf(name, data), key=lambda ramdisk: ramdisk.built_at, default=None)


def on_shelf(name: str, data: Path) -> list[Ramdisk]:
    """Every whole ramdisk of the set, in no order."""
    folders = (data / "ramdisk").glob(f"{name}-*")
    return [ramdisk for folder in folders if (ramdisk := _read(folder)) is not None and ramdisk.name == name]


@contextmanager
def work_folder(data: Path) -> Iterator[Path]:
    """A folder beside the ramdisks that is gone afterwards unless `publish` renamed it."""
    top = data / "ramdisk"
    top.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".building-", dir=top))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, manifest: Mapping[str, Any], data: Path) -> Ramdisk:
    """Make a folder with vmlinuz and initrd known under its version, at once and for good."""
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
    for path in (*folder.iterdir(), folder):
        _sync(path)
    home = data / "ramdisk" / manifest["version"]
    if home.exists():  # a broken one: whole ones are found before anything is built
        shutil.rmtree(home)
    folder.rename(home)
    _sync(home.parent)
    ramdisk = _read(home)
    assert ramdisk is not None
    _discard_old(ramdisk.name, data)
    return ramdisk


def remove_leftovers(data: Path) -> None:
    """Remove what a killed build left; only while holding the build lock."""
    for folder in (data / "ramdisk").glob(".building-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> Ramdisk | None:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        ramdisk = Ramdisk(
            name=manifest["name"],
            version=folder.name,
            kernel=folder / "vmlinuz",
            initrd=folder / "initrd",
            modules=frozenset(manifest["modules"]),
            packages=manifest["packages"],
            options=manifest["options"],
            kernel_release=manifest["kernel_release"],
            recipe=manifest["recipe"],
            built_at=float(manifest["built_at"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not a ramdisk of ours, or a damaged one: as good as absent
    sizes = manifest.get("sizes", {})
    whole = all(_size(folder / name) == sizes.get(name) for name in ("vmlinuz", "initrd"))
    return ramdisk if whole else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _discard_old(name: str, data: Path) -> None:
    newest_first = sorted(on_shelf(name, data), key=lambda ramdisk: -ramdisk.built_at)
    for ramdisk in newest_first[KEPT:]:
        if time.time() - ramdisk.built_at > KEPT_SECONDS:
            shutil.rmtree(ramdisk.kernel.parent, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
