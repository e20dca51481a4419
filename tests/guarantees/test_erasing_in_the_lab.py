"""A practice server with four disks full of somebody's data is erased; then its disks are read from outside QEMU."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now
from starlette.applications import Starlette
from starlette.routing import Mount

from dodaiweb import images_app
from installs import practice, ramdisk
from installs.erasing import records
from installs.models import Erasure, Install
from installs.releasing import due
from lab.profiles import ExtraDisk, Profile, folder, give_disks, profiles
from lab.qemu import extra_file
from machines.models import Disk, Machine
from machines.power.base import Power
from tests import disk_signatures
from tests.lab_installs import provisioning, work
from tests.practice_lab import running_lab
from tests.serving import served

pytestmark = [pytest.mark.lab, pytest.mark.django_db(transaction=True)]

SEED = 32
NAME, MARKER = "practice-1", b"what only its owner may see"
ERASE_SECONDS = 600  # 40 s on an idle host
MIB, GIB = 1 << 20, 1 << 30
DISKS = [
    ExtraDisk("fast", "ERASE-NVME", "nvme"),
    ExtraDisk("slow", "ERASE-SATA", "ahci"),
    ExtraDisk("second", "ERASE-VIRTIO", "virtio"),
]
METHODS = {"ERASE-NVME": "nvme-format", "ERASE-SATA": "overwrite", "ERASE-VIRTIO": "discard"}


@pytest.fixture
def data(settings) -> Iterator[Path]:
    """A data folder whose server has data on all of its disks, its own among them, which has 4 GiB."""
    ramdisk.build("lab", settings.DATA, print)
    give_disks(NAME, settings.DATA, DISKS)
    home = settings.DATA / "lab" / NAME
    shutil.rmtree(home, ignore_errors=True)  # of another test
    home.mkdir(parents=True)
    for number, disk in enumerate(DISKS):
        disk_signatures.fill(extra_file(home, disk), disk.size_mib, seed=SEED + number)
        _write_markers(extra_file(home, disk), disk.size_mib * MIB)
    raw = home / "own.raw"
    raw.touch()
    os.truncate(raw, 4 * GIB)
    _write_markers(raw, 4 * GIB)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, home / "disk.qcow2"], check=True, timeout=120)
    raw.unlink()
    yield settings.DATA
    shutil.rmtree(settings.DATA / "lab")


@pytest.fixture
def ports(data, settings) -> Iterator[tuple[int, int]]:
    settings.ROOT_URLCONF, settings.MIDDLEWARE = "dodaiweb.provision_urls", settings.PROVISION_MIDDLEWARE
    settings.ALLOWED_HOSTS = ["*"]
    images = Starlette(routes=[Mount("/", images_app.application(data))])
    with provisioning() as provision, served(images) as image:
        settings.PROVISION_URL = f"http://127.0.0.1:{provision}"
        settings.IMAGE_URL = f"http://127.0.0.1:{image}"
        yield provision, image


def test_nothing_is_left_on_any_disk_of_a_released_machine(guarantee, data: Path, ports: tuple[int, int], tmp_path):
    (profile,) = profiles(1, data)
    assert all(_is_marked(path) for path in _as_raw(profile, data, tmp_path))
    machine = _released(profile)
    with running_lab(data, count=1, ports=ports) as lab:
        assert due.erase_due() == 1
        install = Install.objects.get()
        work(install, lab, NAME, "finish", seconds=ERASE_SECONDS)
        assert lab.machine(NAME)["power"] == Power.OFF
    tally = guarantee("T32", "Read from outside, no byte is left on any disk of a machine that was erased", seed=SEED)
    with tally.trial(len(DISKS) + 1):
        assert [_first_byte(path) for path in _as_raw(profile, data, tmp_path)] == [None] * (len(DISKS) + 1)
    machine.refresh_from_db()
    assert (machine.state, machine.owner, machine.image_name) == ("free", "", "")
    kept = {record.serial: record for record in Erasure.objects.all()}
    assert all(records.is_genuine(record) and record.is_proven for record in kept.values())
    assert {serial: records.facts_of(kept[serial])["method"] for serial in METHODS} == METHODS
    assert set(kept) == {*METHODS, profile.disk_serial}


def _released(profile: Profile) -> Machine:
    """Somebody had it until now; its disks are those of the inventory."""
    machine = practice.register(profile)
    sizes = {disk.serial: disk.size_mib * MIB for disk in DISKS} | {profile.disk_serial: profile.disk_gib * GIB}
    machine.disks.all().delete()
    for serial, size in sizes.items():
        Disk.objects.create(machine=machine, serial=serial, size_bytes=size, path="/dev/somewhere")
    moment = now()
    Machine.objects.filter(pk=machine.pk).update(
        state="releasing", erase_at=moment - timedelta(seconds=1), inspected_at=moment, owner="ann", image_name="tiny"
    )
    return Machine.objects.get(pk=machine.pk)


def _write_markers(path: Path, size: int) -> None:
    """At the beginning, the end, on both sides of 2 GiB, and at odd places."""
    chance = random.Random(SEED)
    odd = [chance.randrange(size - MIB) for _ in range(20)]
    with path.open("r+b") as disk:
        for at in [0, size - len(MARKER), 2 * GIB - 10, *odd]:
            if at + len(MARKER) <= size:
                disk.seek(at)
                disk.write(MARKER)


def _as_raw(profile: Profile, data: Path, work: Path) -> list[Path]:
    """Each disk as its bytes are; nothing runs on them now."""
    home = folder(profile, data)
    own = work / "own.raw"
    own.unlink(missing_ok=True)
    command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", home / "disk.qcow2", own]
    subprocess.run(command, check=True, timeout=300)
    return [own, *(extra_file(home, disk) for disk in DISKS)]


def _is_marked(path: Path) -> bool:
    with path.open("rb") as disk:
        begin = disk.read(len(MARKER))
        disk.seek(-len(MARKER), os.SEEK_END)
        return begin == disk.read() == MARKER


def _first_byte(path: Path) -> int | None:
    """Where the first byte stands that is not zero; what the file system says is a hole is none."""
    size = path.stat().st_size
    with path.open("rb") as disk:
        at = 0
        while at < size:
            try:
                at = os.lseek(disk.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but holes up to the end
                return None
            disk.seek(at)
            block = disk.read(4 * MIB)
            if rest := block.lstrip(b"\0"):
                return at + len(block) - len(rest)
            at += len(block)
    return None
