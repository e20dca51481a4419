"""T10: the power goes at any moment; no torn file is ever found under its name, and what was answered is still true.

A disk that loses what was not made durable is played: a name that appears must lead to bytes that were synced after
they were written last, and must itself be made durable by a sync of its folder.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from dodaiweb import advertised, keys
from installs.images import intake
from installs.images.contract.drivers import Drivers
from installs.images.contract.drivers import save as save_drivers
from installs.ramdisk import shelf
from tests import image_files


class Disk:
    """What a power cut now would leave: `torn` names have no whole content, `forgotten` ones may be gone."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top, self.synced = str(top), {}
        self.torn: list[str] = []
        self.forgotten: list[str] = []
        self.named: list[str] = []
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._fsync)
        for name in ("rename", "replace", "link"):
            monkeypatch.setattr(os, name, self._naming(getattr(os, name)))

    def _fsync(self, descriptor: int) -> None:
        self._sync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(path):
            self.forgotten = [name for name in self.forgotten if os.path.dirname(name) != path]
        self.synced[_file(path)] = _state(path)

    def _naming(self, call):
        def named(source, target, *args, **kwargs):
            source, target = str(source), str(target)
            if target.startswith(self.top):
                inside = [source] if os.path.isfile(source) else [str(path) for path in Path(source).iterdir()]
                self.torn += [target for path in inside if self.synced.get(_file(path)) != _state(path)]
                self.forgotten.append(target)
                self.named.append(target)
            return call(source, target, *args, **kwargs)

        return named


def _file(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _state(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Iterator[Disk]:
    return Disk(tmp_path, monkeypatch)


def write_keys(folder: Path) -> None:
    keys.ensure(folder / "data", database_exists=False)


def write_another_key(folder: Path) -> None:
    write_keys(folder)
    keys.prepare(folder / "data")
    keys.swap(folder / "data")


def write_urls(folder: Path) -> None:
    (folder / "run").mkdir()
    advertised.write(folder, {"pages": "http://127.0.0.1:8000"})


def write_ramdisk(folder: Path) -> None:
    with shelf.work_folder(folder) as work:
        for name in ("vmlinuz", "initrd"):
            (work / name).write_bytes(os.urandom(5000))
        manifest = {
            "name": "lab", "version": "lab-0123456789ab", "modules": [], "packages": {}, "options": {},
            "kernel_release": "6.1", "recipe": "", "built_at": 1.0, "sizes": {"vmlinuz": 5000, "initrd": 5000},
        }  # fmt: skip
        shelf.publish(work, manifest, folder)


def write_drivers(folder: Path) -> None:
    save_drivers(Drivers("6.1", [("pci:v1", "e1000")], [], frozenset(), None), folder / "drivers", "ab" * 32)


@pytest.mark.parametrize("write", [write_keys, write_another_key, write_urls, write_ramdisk, write_drivers])
def test_no_torn_file_and_none_forgotten(write, disk, tmp_path, guarantee):
    tally = guarantee("T10", "The power goes while files are written: none is torn, none is lost once it was told of")
    write(tmp_path)
    for _ in disk.named:
        with tally.trial():
            assert (disk.torn, disk.forgotten) == ([], [])
    assert disk.named, "nothing was written under a name: this test sees nothing"


@pytest.mark.django_db
def test_no_torn_image_is_ever_served(tmp_path, settings, monkeypatch, guarantee):
    tally = guarantee("T10", "The power goes while an image is taken in: none is torn, none is lost once it is entered")
    settings.DATA = tmp_path
    file = image_files.tar_zst(tmp_path / "debian.tar.zst", image_files.tree())
    disk = Disk(tmp_path, monkeypatch)
    image = intake.add_image(file, name="debian")
    shutil.rmtree(tmp_path / "images" / "incoming", ignore_errors=True)
    assert str(intake.image_path(image.sha256)) in disk.named
    for _ in disk.named:
        with tally.trial():
            assert (disk.torn, disk.forgotten) == ([], [])


@pytest.mark.django_db
def test_a_commit_waits_for_the_disk(settings, guarantee):
    """Before a grant or an end is answered: a commit returns when its log is on the disk, on either database."""
    from dodaiweb.settings import _database

    tally = guarantee("T10", "A grant and an end state are on the disk before they are answered")
    with tally.trial(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous")
            assert cursor.fetchone()[0] == 2  # FULL: the log is synced at each commit (sqlite.org/pragma.html)
            cursor.execute("PRAGMA journal_mode")
            assert cursor.fetchone()[0] == "wal"
        else:
            # The server's own setting counts, and nothing of ours weakens it.
            assert "synchronous_commit" not in str(_database("postgresql://a@b/c"))
