"""A whole Debian disk with Debian's own cloud-init on it: it takes its NoCloud seed, and calls by phone_home.

Asked for by DODAI_TEST_INSTALLER=cloud-init, or =whole: building the disk takes minutes, too.
"""

import json
import os

import pytest

from tests.end_to_end import images
from tests.end_to_end.dodai import assert_only_its_key_opens, wait_until

ASKED = os.environ.get("DODAI_TEST_INSTALLER", "")
pytestmark = [
    pytest.mark.skipif(ASKED not in ("cloud-init", "whole"), reason="asked for by DODAI_TEST_INSTALLER"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the files of the image their owners"),
]
MACHINE = "practice-1"
INSTALL_SECONDS, BOOT_SECONDS = 1800, 900
SIGN = "/etc/ssh/sshd_config.d/00-dodai.conf"


@pytest.fixture(scope="module")
def disk(dodai) -> str:
    packed = dodai.data.with_name("debian-cloud.raw.zst")
    images.debian_disk(dodai.data, packed, also=("cloud-init",))
    dodai.must("image", "add", str(packed), "--name", "debian-cloud")
    return "debian-cloud"


@pytest.fixture(scope="module")
def installed(dodai, disk):
    """The install, ended; the machine runs."""
    install = dodai.install(MACHINE, disk)
    install.wait(seconds=INSTALL_SECONDS)
    return install


@pytest.fixture(scope="module")
def inside(dodai, installed):
    """Says what a command prints in the system that is up."""

    def said(command: str) -> str:
        done = dodai.ssh(MACHINE, command, key=dodai.ssh_key)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{dodai.console(MACHINE)[-3000:]}"
        return done.stdout.strip()

    return said


def test_cloud_init_calls_when_the_system_is_up(dodai, installed) -> None:
    assert installed.process.returncode == 0, installed.story()
    assert installed.names("machine") == ["install", "granted", "install_reboot", "installed"]
    assert "set up by cloud-init" in dodai.console(MACHINE)
    confirmed = dodai.database(f"Install.objects.filter(machine__name={MACHINE!r}).latest('pk').confirmed_at")
    assert confirmed  # by its own call, not by the second witness


def test_it_took_the_seed_and_found_no_fault_in_it(inside) -> None:
    inside("cloud-init status --wait")
    result = json.loads(inside("cat /run/cloud-init/result.json"))["v1"]
    assert result["datasource"].startswith("DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud"), result
    assert result["errors"] == []
    assert "Failed at merging in cloud config part" not in inside("cat /var/log/cloud-init.log")


def test_it_has_its_name_its_network_and_the_whole_disk(dodai, inside) -> None:
    assert inside("hostname") == MACHINE
    mac = dodai.lab(MACHINE)["mac"]
    assert mac in inside("cat /etc/systemd/network/*cloud-init*").lower()
    [card] = [each for each in json.loads(inside("ip -json address")) if each["address"] == mac]
    assert card["operstate"] == "UP" and [each["family"] for each in card["addr_info"]].count("inet") == 1
    total = int(inside("df --output=size --block-size=1M / | tail -1"))
    assert total > images.DEBIAN_MIB * 3


def test_only_its_key_opens_it_and_no_secret_can_be_read_by_others(dodai, inside, other_key) -> None:
    assert_only_its_key_opens(dodai, MACHINE, other_key)
    assert inside("find /var/lib/cloud/seed -type f -perm /077") == ""
    assert inside("runuser -u nobody -- cat /var/lib/cloud/seed/nocloud/user-data 2>/dev/null || echo shut") == "shut"


def test_the_second_boot_is_the_same_system_without_the_sign(dodai, inside) -> None:
    keys, before = inside("cat /etc/ssh/ssh_host_*.pub"), len(dodai.console(MACHINE))
    assert "VersionAddendum" in inside(f"cat {SIGN}")
    dodai.must("power", MACHINE, "reset")
    wait_until(
        lambda: f"{MACHINE} login:" in dodai.console(MACHINE)[before:], seconds=BOOT_SECONDS,
        what=f"a second boot of {MACHINE}", story=lambda: dodai.console(MACHINE)[-3000:],
    )  # fmt: skip
    inside("cloud-init status --wait")
    assert inside(f"test ! -e {SIGN} && hostname") == MACHINE
    assert inside("cat /etc/ssh/ssh_host_*.pub") == keys
