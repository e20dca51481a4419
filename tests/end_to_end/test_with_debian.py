"""The real Debian 12: built in the background by this very `up` while the other tests ran, installed, and up from disk.

Last by its name, so that the build is over or nearly so.
"""

import pytest

BUILD_SECONDS = 900  # at low priority, beside the other tests
MACHINE = "practice-1"


@pytest.fixture(scope="module")
def debian(dodai, installed) -> str:
    dodai.wait_for(r"debian-12: taken in", seconds=BUILD_SECONDS)
    return "debian-12"


@pytest.fixture(scope="module")
def console(dodai, debian) -> str:
    """What the machine's console said during the install."""
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
