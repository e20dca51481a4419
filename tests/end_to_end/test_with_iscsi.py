"""Disks that Dodai writes by iSCSI, of machines with BIOS and with UEFI: to `installed`, and back to the disk."""

from pathlib import Path

import pytest
import zstandard

from lab import tiny_disk
from tests.end_to_end.conftest import MACHINES
from tests.end_to_end.dodai import assert_starts_from_its_disk, install_each, switch_off

STEPS = ["power_off", "set_boot", "power_on", "netboot", "write", "boot_from_disk", "reset", "first_boot"]
PHASES = ["clear", "turn", "write", "verify", "grow", "bootloader", "configure"]
CHOSEN = {MACHINES[0]: "tiny-bare", MACHINES[1]: "tiny-iscsi"}  # BIOS without a loader, UEFI with one


@pytest.fixture(scope="module")
def disk_images(dodai) -> None:
    raw = dodai.data.with_name("tiny-for-iscsi.raw")
    tiny_disk.build(dodai.data, raw)
    packed = raw.with_suffix(".raw.zst")
    packed.write_bytes(zstandard.compress(raw.read_bytes()))
    dodai.must("image", "add", str(packed), "--name", "tiny-iscsi", "--method", "iscsi")
    without_bios_loader(raw)
    dodai.must("image", "add", str(raw), "--name", "tiny-bare", "--method", "iscsi")


def without_bios_loader(disk: Path) -> None:
    """Zeros where BIOS and GRUB look for their next step; the partitions stay."""
    with disk.open("r+b") as file:
        file.write(bytes(440))
        file.seek(tiny_disk.BIOS_AT)
        file.write(bytes(tiny_disk.MIB))


@pytest.fixture(scope="module")
def written(dodai, disk_images):
    return install_each(dodai, CHOSEN)


@pytest.mark.parametrize("name", CHOSEN)
def test_dodai_writes_the_disk_and_its_system_says_so_itself(dodai, written, name) -> None:
    install = written[name]
    assert install.process.returncode == 0, install.story()
    assert install.names("step") == STEPS
    assert install.names("phase") == PHASES
    assert install.names("machine") == ["install", "granted", "exported", "install_reboot", "installed"]
    assert f"tiny: up as {name}" in dodai.console(name)
    assert [line for line in dodai.console(name).splitlines() if "exported" in line], "the ramdisk said nothing of it"


def test_an_image_without_a_boot_loader_gets_one(dodai, written) -> None:
    assert "installing GRUB" in dodai.console(MACHINES[0])
    assert "installing GRUB" not in dodai.console(MACHINES[1])


@pytest.mark.parametrize("name", CHOSEN)
def test_a_start_leads_to_the_disk_again_and_the_key_opens_it(dodai, written, other_key, name) -> None:
    switch_off(dodai, name)
    assert_starts_from_its_disk(dodai, name, other_key)
