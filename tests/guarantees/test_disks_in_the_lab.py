"""A practice server with eight more disks than it needs: the real ramdisk and the real scripts write to one of them.

It is looked at, its disks are put in another order, and it is installed: on a disk that is half of somebody's RAID.
Before the look, the real installer is tried with serial numbers that no disk has, and that two have.
"""

import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from dodaiweb import images_app, keys
from installs import actions, plan, practice, ramdisk, scripts
from installs.models import Image, Install, Script
from lab.profiles import ExtraDisk, Profile, folder, give_disks, guest_urls
from lab.qemu import extra_file
from machines import actions as machine_actions
from machines.models import Machine
from tests import disk_secrets, disk_signatures
from tests.lab_installs import provisioning, work
from tests.practice_lab import RunningLab, running_lab
from tests.serving import served

pytestmark = [pytest.mark.lab, pytest.mark.django_db(transaction=True)]

SEED = 27
BOOT_SECONDS, INSTALL_SECONDS = 600, 600  # 25 s and 40 s on an idle host
NAME, GRANTED, ABSENT, TWICE = "practice-1", "RAID-A", "NOBODY-S", "TWIN"
DISKS = [
    ExtraDisk("stick", "USB-STICK", "usb"),
    ExtraDisk("raid-a", GRANTED, "virtio", size_mib=256),
    ExtraDisk("raid-b", "RAID-B", "virtio"),
    ExtraDisk("volumes", "NVME-LVM", "nvme"),
    ExtraDisk("locked", "SATA-LUKS", "ahci"),
    ExtraDisk("tank", "SATA-ZFS", "ahci"),
    ExtraDisk("twin-1", TWICE, "ahci"),
    ExtraDisk("twin-2", TWICE, "ahci"),
]
Order = tuple[list[ExtraDisk], int]
SIGN: dict[str, Callable[[Path], None]] = {
    "stick": disk_signatures.ext4,
    "raid-a": lambda path: disk_signatures.raid_member(path, 0),
    "raid-b": lambda path: disk_signatures.raid_member(path, 1),
    "volumes": disk_signatures.lvm_volume,
    "locked": disk_signatures.luks_volume,
    "tank": disk_signatures.zfs_member,
}
SIGNATURES = {  # the stick, which has no name, is no part of the inventory
    GRANTED: "linux_raid_member", "RAID-B": "linux_raid_member", "NVME-LVM": "LVM2_member",
    "SATA-LUKS": "crypto_LUKS", "SATA-ZFS": "zfs_member",
}  # fmt: skip


@pytest.fixture
def data(settings) -> Path:
    ramdisk.build("lab", settings.DATA, print)
    home = settings.DATA / "lab" / NAME
    home.mkdir(parents=True)
    for number, disk in enumerate(DISKS):
        path = extra_file(home, disk)
        disk_signatures.fill(path, disk.size_mib, seed=SEED + number)
        SIGN.get(disk.name, lambda _: None)(path)
    return settings.DATA


class Told(list[tuple[str, dict]]):
    """What installers that Dodai knows nothing of have posted: (who/event, its body), in order."""

    async def take(self, request: Request) -> Response:
        body = await request.body()
        if request.headers["content-type"] == "application/json":
            self.append((request.path_params["what"], json.loads(body)))
        return PlainTextResponse("{}")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ports(data, settings, told: Told) -> Iterator[tuple[int, int]]:
    """The real provisioning listener and the real images' one, with a place for what `told` hears."""
    settings.ROOT_URLCONF, settings.MIDDLEWARE = "dodaiweb.provision_urls", settings.PROVISION_MIDDLEWARE
    settings.ALLOWED_HOSTS = ["*"]
    images = images_app.application(data)
    both = Starlette(routes=[Route("/told/{what:path}", told.take, methods=["POST"]), Mount("/", images)])
    with provisioning() as provision, served(both) as image:
        settings.PROVISION_URL = f"http://127.0.0.1:{provision}"
        settings.IMAGE_URL = f"http://127.0.0.1:{image}"
        yield provision, image


def test_only_the_granted_disk_is_written(guarantee, data: Path, ports: tuple[int, int], told: Told, tmp_path: Path):
    looked_at, installed = _orders(SEED)
    with _started(looked_at, data, ports) as lab:
        before = _digests(lab.profiles[0], data)
        machine = practice.register(lab.profiles[0])
        inspection = actions.start_inspection(machine, by="tester")
        Script.objects.filter(install=inspection).update(text=_refused_first(inspection.script.text, ports))
        work(inspection, lab, NAME, "finish", seconds=BOOT_SECONDS)
    with guarantee("T27", "An installer that finds no disk of the serial number, or two, writes nothing").trial(2):
        failures = {what: body for what, body in told if what.endswith("event/failed")}
        _check_refusal(failures["absent/event/failed"], f"No disk has serial number {ABSENT}")
        _check_refusal(failures["twice/event/failed"], f"More than one disk has serial number {TWICE}")
        assert not [what for what, _ in told if what.endswith("/grant")]
        assert _digests(lab.profiles[0], data) == before

    tally = guarantee("T27", "What foreign disks carry is found, and said before it is approved", seed=SEED)
    with tally.trial(len(SIGNATURES)):
        found = {disk.serial: {item["type"] for item in disk.signatures} for disk in machine.disks.all()}
        assert {serial: found[serial] for serial in SIGNATURES} == {key: {kind} for key, kind in SIGNATURES.items()}
        machine_actions.choose_root_disk(machine.disks.get(serial=GRANTED))
        made = plan.for_install(Machine.objects.get(name=NAME), _image(data))
        assert made.problems == []
        assert "linux_raid_member" in " ".join(made.warnings)
        assert "linux_raid_member" in made.typed_because
    assert machine.disks.get(serial=GRANTED).path == _name(looked_at)

    with _started(installed, data, ports) as lab:
        install = actions.start_install(made.machine, made.image, by="tester", approved=made.digest)
        work(install, lab, NAME, "install_reboot", seconds=INSTALL_SECONDS)
        lab.ipmitool(lab.profiles[0], "chassis", "power", "off")
    after = _digests(lab.profiles[0], data)
    tally = guarantee("T27", "Only the granted disk is written; the others keep every byte", seed=SEED)
    with tally.trial(len(before)):
        assert _path_written(install) == _name(installed) != _name(looked_at)
        assert {name for name in before if before[name] != after[name]} == {"raid-a"}
        assert _partitions(data, "raid-a") == "gpt"

    tally = guarantee("T35", "After an install only its unused first-boot token is on the disk, in a file of mode 0600")
    secrets = _secrets(lab.profiles[0], data)
    with tally.trial(len(secrets) * len(before)):
        home = folder(lab.profiles[0], data)
        expected = {name for name in secrets if name.startswith("first-boot")}
        assert disk_secrets.found(secrets | {"its name": NAME}, home / "raid-a.raw") == expected | {"its name"}
        assert not any(disk_secrets.found(secrets, extra_file(home, disk)) for disk in DISKS if disk.name != "raid-a")
        assert disk_secrets.found(secrets, home / "disk.qcow2") == set()
    with tally.trial():
        (tree,) = disk_secrets.unpack(home / "raid-a.raw", tmp_path)
        files = [path for path in tree.rglob("*") if path.is_file() and disk_secrets.found(secrets, path)]
        assert files == [tree / "etc/dodai/first-boot.url"]
        assert disk_secrets.mode(home / "raid-a.raw", "/etc/dodai/first-boot.url") == 0o600


def _secrets(profile: Profile, data: Path) -> dict[str, str]:
    """All that its installs used, and what Dodai keeps."""
    console = (folder(profile, data) / "console.log").read_text(errors="replace")
    kept = {name: keys.read(data, name) for name in keys.NAMES}
    return disk_secrets.tokens_of(NAME) | disk_secrets.boot_tokens(console) | kept | {"BMC": profile.bmc_password}


def _orders(seed: int) -> tuple[Order, Order]:
    """Two orders of the disks, and how many stand before the server's own; the granted one has another name in each."""
    chance = random.Random(seed)
    first = second = chance.sample(DISKS, len(DISKS)), chance.randrange(1, len(DISKS))
    while _name(second) == _name(first):
        second = chance.sample(DISKS, len(DISKS)), chance.randrange(1, len(DISKS))
    return first, second


def _name(order: Order) -> str:
    """What the kernel calls the granted disk: virtio's in their order, the server's own among them."""
    disks, extra_first = order
    serials = [disk.serial if disk.bus == "virtio" else "" for disk in disks]
    serials.insert(extra_first, "own")
    return f"/dev/vd{'abc'[[serial for serial in serials if serial].index(GRANTED)]}"


@contextmanager
def _started(order: Order, data: Path, ports: tuple[int, int]) -> Iterator[RunningLab]:
    give_disks(NAME, data, order[0], extra_first=order[1])
    with running_lab(data, count=1, ports=ports) as lab:
        yield lab


def _digests(profile: Profile, data: Path) -> dict[str, str]:
    """SHA-256 of every disk as QEMU's host has it, by the disk's name; nothing runs on them now."""
    home = folder(profile, data)
    paths = {disk.name: extra_file(home, disk) for disk in DISKS} | {"own": home / "disk.qcow2"}
    return {name: hashlib.file_digest(path.open("rb"), "sha256").hexdigest() for name, path in paths.items()}


def _refused_first(script: str, ports: tuple[int, int]) -> str:
    """The same script, after the real installer was run with serial numbers that choose no disk."""
    parts = ["#!/bin/bash"]
    wanted = {"absent": ABSENT, "twice": TWICE}
    for name, text in {
        **{who: _installer(who, serial, ports) for who, serial in wanted.items()},
        "look": script,
    }.items():
        parts.append(f"cat >/run/{name} <<'END_OF_{name}'\n{text}\nEND_OF_{name}\nbash /run/{name} </dev/null || true")
    return "\n".join(parts)


def _installer(who: str, serial: str, ports: tuple[int, int]) -> str:
    image = {
        "url": "http://10.0.2.100/none",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "unpacked_bytes": 1,
        "kind": "tar.zst",
    }
    return scripts.render(
        "file_tree/install.sh", server=f"{guest_urls(*ports)[1]}/told/{who}", token="none",
        image=image | {"name": "none"}, disk={"serial": serial, "wwn": ""}, attempt={"id": 0, "machine": NAME},
    )  # fmt: skip


def _check_refusal(said: dict, words: str) -> None:
    assert said["cause"] == "disk"
    assert words in said["message"], said["message"]
    # Linux asks no USB stick for its serial number (drivers/usb/storage/scsiglue.c): none can ever be chosen.
    shown = [f"serial {disk.serial if disk.bus != 'usb' else 'none'}," for disk in DISKS]
    not_named = [words for words in shown if words not in said["message"]]
    assert not_named == [], said["message"]  # the operator reads which disks there are


def _image(data: Path) -> Image:
    """The smallest tree that the installer takes: it runs nothing of it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tree:
        for name in ("boot/vmlinuz-1", "etc/os-release"):
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = 1000
            tree.addfile(entry, io.BytesIO(b"#" * 1000))
    packed = subprocess.run(["zstd", "-q", "-c"], input=archive.getvalue(), capture_output=True, check=True).stdout
    digest = hashlib.sha256(packed).hexdigest()
    (data / "images").mkdir(exist_ok=True)
    (data / "images" / digest).write_bytes(packed)
    return Image.objects.create(
        name="least", kind="tar.zst", sha256=digest, size_bytes=len(packed), unpacked_bytes=2000, min_memory_mib=64
    )


def _path_written(install: Install) -> str:
    """Which name the kernel had for the disk, from the installer's own words."""
    log = "".join(install.log.order_by("pk").values_list("text", flat=True))
    return log.partition(": disk ")[2].split()[0]


def _partitions(data: Path, name: str) -> str:
    path = data / "lab" / NAME / f"{name}.raw"
    done = subprocess.run(
        ["/usr/sbin/blkid", "-p", "-s", "PTTYPE", "-o", "value", str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
