"""KVM is used where a kernel boots under it, and only there."""

import asyncio
import json
from pathlib import Path

import pytest
from django.conf import settings

from installs import ramdisk as ramdisks
from lab import accelerator
from lab.accelerator import Accelerator
from lab.profiles import lab_folder

BOOT_SECONDS = 60


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder on a computer whose /dev/kvm can be opened."""
    lab_folder(tmp_path).mkdir(parents=True)
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "_KVM", device)
    return tmp_path


@pytest.fixture
def ramdisk(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ramdisk is built; its kernel is one that QEMU cannot even load."""
    folder = data / "ramdisk" / "lab-1"
    folder.mkdir(parents=True)
    kernel = folder / "vmlinuz"
    kernel.write_bytes(b"no kernel")
    built = type("Built", (), {"kernel": kernel})()
    monkeypatch.setattr(accelerator.ramdisk, "latest", lambda name, data: built)
    return kernel


def find(data: Path, name: str = "auto") -> tuple[str, str]:
    found = Accelerator(data, name)
    return asyncio.run(found.find()), found.name


def test_without_the_device_servers_are_emulated(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_KVM", data / "none")
    assert find(data) == ("tcg", "tcg")


def test_without_a_kernel_to_try_it_nothing_is_settled(data: Path) -> None:
    assert find(data) == ("tcg", "auto")


def test_an_asked_for_accelerator_is_taken_as_it_is(data: Path, ramdisk: Path) -> None:
    assert find(data, "kvm") == ("kvm", "kvm")


def test_where_no_kernel_boots_servers_are_emulated_until_the_computer_boots_again(data: Path, ramdisk: Path) -> None:
    assert find(data) == ("tcg", "tcg")
    kept = json.loads((lab_folder(data) / "accelerator.json").read_text())
    assert kept == {"host": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "kvm": False}


@pytest.mark.parametrize(("host", "tries"), [("this", 0), ("another", 1)])
def test_a_known_failure_is_not_tried_again_on_the_same_boot(
    data: Path, ramdisk: Path, monkeypatch: pytest.MonkeyPatch, host: str, tries: int
) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip() if host == "this" else "another"
    (lab_folder(data) / "accelerator.json").write_text(json.dumps({"host": boot_id, "kvm": False}))
    tried: list[Path] = []

    async def boots(kernel: Path, accelerator: str) -> bool:
        tried.append(kernel)
        return True

    monkeypatch.setattr(accelerator, "kernel_boots", boots)
    assert find(data) == (("kvm", "kvm") if tries else ("tcg", "tcg"))
    assert len(tried) == tries


def test_it_settles_when_the_ramdisk_is_built(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([None, None, type("Built", (), {"kernel": data / "none"})()])
    monkeypatch.setattr(accelerator.ramdisk, "latest", lambda name, data: next(looks))
    monkeypatch.setattr(accelerator, "LOOK_EVERY_SECONDS", 0)
    found = Accelerator(data)
    asyncio.run(found.settle())
    assert found.name == "tcg"


@pytest.mark.lab
def test_a_kernel_that_boots_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    """The probe itself, under the accelerator that works everywhere."""
    built = ramdisks.build("lab", Path(settings.DATA), print)
    assert asyncio.run(accelerator.kernel_boots(built.kernel, "tcg", BOOT_SECONDS))
    assert not asyncio.run(accelerator.kernel_boots(built.initrd, "tcg", BOOT_SECONDS))
    assert not asyncio.run(accelerator.kernel_boots(built.kernel, "tcg", 0.1))
