"""A system that runs from memory, on machines with BIOS and with UEFI: up, up again after a reset, disks as before."""

import pytest

from lab import tiny_live
from tests.end_to_end.conftest import MACHINES
from tests.end_to_end.dodai import KeptDisk, assert_only_its_key_opens, switch_off, wait_until

CHOSEN = MACHINES[:2]
BOOT_SECONDS = 400


@pytest.fixture(scope="module")
def live_image(dodai) -> str:
    path = dodai.data.with_name("tiny.squashfs")
    tiny_live.build(dodai.data, path)
    dodai.must("image", "add", str(path), "--name", "tiny-live")
    return "tiny-live"


@pytest.fixture(scope="module")
def kept(dodai) -> dict[str, KeptDisk]:
    return {name: KeptDisk.of(dodai, name) for name in CHOSEN}


@pytest.fixture(scope="module")
def started(dodai, live_image, kept):
    begun = {name: dodai.install(name, live_image) for name in CHOSEN}
    for install in begun.values():
        install.wait()
    return begun


@pytest.fixture(scope="module")
def restarted(dodai, started) -> dict[str, str]:
    """Both reset, and their system up once more: what each console said meanwhile."""
    before = {name: len(dodai.console(name)) for name in CHOSEN}
    for name in CHOSEN:
        dodai.must("power", name, "reset")
    for name in CHOSEN:
        wait_until(
            lambda name=name: f"tiny: up as {name}" in dodai.console(name)[before[name] :], seconds=BOOT_SECONDS,
            what=f"the second start of {name}", story=lambda name=name: dodai.console(name)[-3000:],
        )  # fmt: skip
    return {name: dodai.console(name)[before[name] :] for name in CHOSEN}


@pytest.mark.parametrize("name", CHOSEN)
def test_it_is_up_and_says_so_itself(dodai, started, name) -> None:
    install = started[name]
    assert install.process.returncode == 0, install.story()
    assert install.names("step") == ["power_off", "set_boot", "power_on", "netboot", "first_boot"]
    assert install.names("phase") == ["fetch", "verify", "configure"]
    assert install.names("machine") == ["install", "installed"]
    assert f"tiny: up as {name}" in dodai.console(name)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_reset_brings_it_back_from_the_network_and_the_key_opens_it(dodai, restarted, other_key, name) -> None:
    assert "dodai_script=" in restarted[name]
    assert_only_its_key_opens(dodai, name, other_key)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_disk_is_as_it_was(dodai, restarted, kept, name) -> None:
    switch_off(dodai, name)
    assert kept[name].is_untouched()
    assert dodai.last_install(name)["granted_at"] is None
