"""The real Debian 12: built in the background by this very `up` while the other tests ran, installed, and up from disk.

Last by its name, so that the build is over or nearly so.
"""

import pytest

BUILD_SECONDS = 900  # at low priority, beside the other tests
MACHINE = "practice-1"
COMMANDS = "hostname >/root/told-by-hostname\nfalse || exit 3\n"
# A VLAN over the card that it boots from, another account, and commands that end badly.
SETTINGS = f"""
from installs.models import SshKey
from machines.models import Link, Machine
machine = Machine.objects.get(name={MACHINE!r})
card = machine.interfaces.get(is_pxe=True)
Link.objects.create(machine=machine, kind='vlan', name='vlan210', vid=210, over=card.mac, address='10.210.0.5/24')
SshKey.objects.create(name='ada', account='ada', public_key=SshKey.objects.get(name='test').public_key)
Image.objects.filter(name='debian-12').update(first_boot_commands={COMMANDS!r})"""


@pytest.fixture(scope="module")
def debian(dodai, installed) -> str:
    dodai.wait_for(r"debian-12: taken in", seconds=BUILD_SECONDS)
    return "debian-12"


@pytest.fixture(scope="module")
def console(dodai, debian) -> str:
    """What the machine's console said during the install."""
    dodai.database(SETTINGS)
    before = len(dodai.console(MACHINE))
    install = dodai.install(MACHINE, debian)
    install.wait(seconds=600)
    assert install.process.returncode == 0, install.story()
    return dodai.console(MACHINE)[before:]


def test_it_is_debian_12_by_the_report_of_its_import(dodai, debian) -> None:
    [[system, problems, warnings]] = dodai.database(
        "[[i.report['os_name'], i.report['problems'], i.report['warnings']]"
        " for i in Image.objects.filter(name='debian-12')]"
    )
    assert (system, problems, warnings) == ("Debian GNU/Linux 12 (bookworm)", [], [])


def test_it_says_itself_that_it_is_up(dodai, console) -> None:
    state, image = dodai.database(f"[(m.state, m.image_name) for m in Machine.objects.filter(name='{MACHINE}')][0]")
    assert (state, image) == ("in_use", "debian-12")


def test_the_kernel_that_runs_is_debians_from_the_disk(console) -> None:
    last = console.rpartition("Linux version ")[2]
    assert "debian-kernel@lists.debian.org" in last
    assert "root=UUID=" in last and "dodai_script=" not in last
    assert "Welcome to" in last and "Debian GNU/Linux 12 (bookworm)" in last


def test_its_drivers_fit_every_practice_server(dodai, debian) -> None:
    verdicts = dodai.database(
        "from installs.images.boot_match import match\n"
        "image = Image.objects.get(name='debian-12')\n"
        "[match(image, m).verdict for m in Machine.objects.all()]"
    )
    assert set(verdicts) == {"yes"}


def test_its_settings_are_what_dodai_was_told(dodai, console) -> None:
    """The account exists, its key opens it and sudo lets it through; the VLAN is up; the commands ran once."""
    inside = dodai.ssh(
        MACHINE, "id -un; sudo -n id -un; ip -d -o addr show vlan210; ip -d -o link show vlan210; "
        "sudo -n cat /root/told-by-hostname; ls /etc/dodai", key=dodai.ssh_key, account="ada",
    )  # fmt: skip
    assert inside.returncode == 0, inside.stderr
    lines = inside.stdout.splitlines()
    assert lines[:2] == ["ada", "root"]
    assert "inet 10.210.0.5/24" in lines[2], inside.stdout
    assert "vlan protocol 802.1Q id 210" in inside.stdout
    assert MACHINE in lines and "first-boot-commands" not in inside.stdout
    alerts = dodai.database(
        "from installs.models import Event\n[e.text for e in Event.objects.filter(name='first-boot-commands')]"
    )
    assert len(alerts) == 1 and "ended with 3" in alerts[0]
