"""The image of a whole disk, streamed onto machines with BIOS and with UEFI: to `installed`, and back to the disk."""

import subprocess
from pathlib import Path

import pytest
import zstandard

from lab import tiny_disk
from tests.end_to_end.conftest import MACHINES
from tests.end_to_end.dodai import KeptDisk, assert_starts_from_its_disk, install_each

STEPS = ["power_off", "set_boot", "power_on", "netboot", "write", "boot_from_disk", "reset", "first_boot"]
PHASES = ["clear", "write", "verify", "grow", "configure"]
CHOSEN = {MACHINES[0]: "tiny-zst", MACHINES[1]: "tiny-qcow2"}  # BIOS with virtio, UEFI with NVMe
GIB = 1 << 30


@pytest.fixture(scope="module")
def raw(dodai) -> Path:
    path = dodai.data.with_name("tiny.raw")
    tiny_disk.build(dodai.data, path)
    return path


@pytest.fixture(scope="module")
def disk_images(dodai, raw) -> None:
    packed, qcow2 = raw.with_suffix(".raw.zst"), raw.with_suffix(".qcow2")
    packed.write_bytes(zstandard.compress(raw.read_bytes()))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow2)], check=True, timeout=60)
    dodai.must("image", "add", str(packed), "--name", "tiny-zst")
    dodai.must("image", "add", str(qcow2), "--name", "tiny-qcow2")


@pytest.fixture(scope="module")
def written(dodai, disk_images):
    return install_each(dodai, CHOSEN)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_machine_gets_the_disk_and_its_system_says_so_itself(dodai, written, name) -> None:
    install = written[name]
    assert install.process.returncode == 0, install.story()
    assert install.names("step") == STEPS
    assert install.names("phase") == PHASES
    assert install.names("machine") == ["install", "granted", "install_reboot", "installed"]
    assert f"tiny: up as {name}" in dodai.console(name)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_table_and_the_root_have_the_whole_disk(dodai, written, name, tmp_path) -> None:
    kept = KeptDisk.of(dodai, name)
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(kept.copy), str(raw)], check=True, timeout=60)
    size = raw.stat().st_size
    with raw.open("rb") as file:
        file.seek(size - 512)
        assert file.read(8) == b"EFI PART"
        file.seek(tiny_disk.ROOT_AT + 1024)
        superblock = file.read(1024)
    blocks, shift = int.from_bytes(superblock[4:8], "little"), int.from_bytes(superblock[24:28], "little")
    assert blocks * (1024 << shift) > size - tiny_disk.ROOT_AT - (8 << 20)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_start_leads_to_the_disk_again_and_the_key_opens_it(dodai, written, other_key, name) -> None:
    assert_starts_from_its_disk(dodai, name, other_key)
