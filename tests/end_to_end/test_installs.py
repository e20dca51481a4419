"""BIOS, UEFI with NVMe, and UEFI that boots from the network for ever: to `installed`, and back to the disk."""

import os

import pytest

from tests.end_to_end.conftest import MACHINES
from tests.end_to_end.dodai import assert_only_its_key_opens, look_for_secrets, wait_until

STEPS = ["power_off", "set_boot", "power_on", "netboot", "copy", "boot_from_disk", "reset", "first_boot"]
PHASES = {"fetch", "verify", "partition", "copy", "configure", "bootloader"}
BOOT_SECONDS = 400


def ups(dodai, name: str) -> int:
    return dodai.console(name).count(f"tiny: up as {name}")


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_installed_and_says_so_itself(dodai, installed, name) -> None:
    install = installed[name]
    assert install.process.returncode == 0, install.story()
    assert install.names("step") == STEPS
    assert set(install.names("phase")) == PHASES
    assert install.names("machine") == ["install", "granted", "install_reboot", "installed"]
    assert install.errors.read_text() == ""
    assert ups(dodai, name) == 1


def test_the_machines_are_in_use_and_name_their_image(dodai, installed) -> None:
    found = dodai.database("[[m.name, m.state, m.image_name] for m in Machine.objects.order_by('name')]")
    assert found == [
        ["practice-1", "in_use", "tiny"],
        ["practice-2", "in_use", "tiny-ext4"],
        ["practice-3", "in_use", "tiny"],
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="the firmware's own PXE needs a network namespace")
def test_one_machine_boots_by_its_own_firmware(dodai, installed) -> None:
    assert dodai.lab("practice-3")["native_pxe"]


@pytest.fixture(scope="module")
def restarted(dodai, installed) -> dict[str, str]:
    """All machines reset, and their system up once more: what each console said meanwhile."""
    before = {name: len(dodai.console(name)) for name in MACHINES}
    for name in MACHINES:
        dodai.must("power", name, "reset")
    for name in MACHINES:
        wait_until(
            lambda name=name: f"tiny: up as {name}" in dodai.console(name)[before[name] :], seconds=BOOT_SECONDS,
            what=f"the second boot of {name}", story=lambda name=name: dodai.console(name)[-3000:],
        )  # fmt: skip
    return {name: dodai.console(name)[before[name] :] for name in MACHINES}


@pytest.mark.parametrize("name", MACHINES)
def test_a_reset_leads_to_the_disk_again(dodai, restarted, name) -> None:
    assert restarted[name].count(f"tiny: up as {name}") == 1
    assert "dodai_script=" not in restarted[name]  # the ramdisk's kernel line
    answer = dodai.boot_answer(name)
    assert "sanboot" in answer and "vmlinuz" not in answer


@pytest.mark.parametrize("name", MACHINES[:2])  # nothing leads to the network of the third one
def test_who_has_the_key_can_log_in(dodai, restarted, other_key, name) -> None:
    assert_only_its_key_opens(dodai, name, other_key)


def test_nothing_was_installed_a_second_time(dodai, restarted) -> None:
    installs = dodai.database(
        "[[i.machine.name, i.state, i.boots.count()]"
        " for i in Install.objects.real_installs().order_by('machine__name')]"
    )
    assert installs == [[name, "installed", 1] for name in MACHINES]


@pytest.mark.parametrize("name", MACHINES)
def test_no_secret_is_left_on_its_disk(dodai, restarted, tmp_path, name) -> None:
    look_for_secrets(dodai, name, tmp_path)
