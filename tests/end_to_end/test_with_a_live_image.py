"""A system that runs from memory: up, up again after a reset, and the disk as it was before."""

import pytest

from lab import tiny_live
from tests.end_to_end.dodai import KeptDisk, switch_off, wait_until

MACHINE = "practice-1"
BOOT_SECONDS = 200


@pytest.fixture(scope="module")
def live_image(dodai) -> str:
    path = dodai.data.with_name("tiny.squashfs")
    tiny_live.build(dodai.data, path)
    dodai.must("image", "add", str(path), "--name", "tiny-live")
    return "tiny-live"


@pytest.fixture(scope="module")
def kept(dodai) -> KeptDisk:
    return KeptDisk.of(dodai, MACHINE)


@pytest.fixture(scope="module")
def started(dodai, live_image, kept):
    install = dodai.install(MACHINE, live_image)
    install.wait()
    return install


def test_it_is_up_and_says_so_itself(dodai, started) -> None:
    assert started.process.returncode == 0, started.story()
    assert started.names("step") == ["power_off", "set_boot", "power_on", "netboot", "first_boot"]
    assert started.names("phase") == ["fetch", "verify", "configure"]
    assert started.names("machine") == ["install", "installed"]
    assert f"tiny: up as {MACHINE}" in dodai.console(MACHINE)


def test_a_reset_brings_it_back_from_the_network(dodai, started) -> None:
    before = len(dodai.console(MACHINE))
    dodai.must("power", MACHINE, "reset")
    wait_until(
        lambda: f"tiny: up as {MACHINE}" in dodai.console(MACHINE)[before:], seconds=BOOT_SECONDS,
        what="the second start", story=lambda: dodai.console(MACHINE)[-3000:],
    )  # fmt: skip
    assert "dodai_script=" in dodai.console(MACHINE)[before:]


def test_the_disk_is_as_it_was(dodai, started, kept) -> None:
    switch_off(dodai, MACHINE)
    assert kept.is_untouched()
    assert dodai.last_install(MACHINE)["granted_at"] is None
