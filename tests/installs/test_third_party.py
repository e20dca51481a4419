"""A method that is no part of Dodai: one setting adds it, and the contract carries it from the admin to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from installs import actions, plan
from installs.methods import METHODS
from installs.models import Image, Install
from machines.power import fake
from machines.power.base import Power
from tests import installing
from tests.test_scripts import shellcheck

ROOT = Path(__file__).parents[2]
PLACE = "tests.third_party.erasing.Erase"


@pytest.fixture(autouse=True)
def _added(settings):
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, PLACE]


@pytest.fixture
def image(db):
    return Image.objects.create(name="nothing", method="shred", metadata={"passes": 2})


def test_one_setting_of_the_environment_adds_it():
    program = "import django; django.setup(); from installs.methods import METHODS; print(*METHODS)"
    for places, wanted in ((PLACE, ["erase", "shred"]), ("", ["erase"])):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
            env=os.environ | {"DODAI_INSTALL_METHODS": places, "DJANGO_SETTINGS_MODULE": "dodaiweb.settings"},
        )  # fmt: skip
        assert done.stdout.split()[-len(wanted) :] == wanted


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere.at.all", "cannot be imported"),
        ("installs.plan.Plan", "is no InstallMethod"),
        ("installs.methods.file_tree.FileTree", "has the slug 'file-tree'"),
    ],
)
def test_what_is_no_method_is_named(settings, place, words):
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, place]
    with pytest.raises(ImproperlyConfigured, match=words):
        list(METHODS)


def test_its_script_is_made_of_parts_that_all_can_use(machine, image):
    made = METHODS["shred"].script(plan.for_install(machine, image).frozen)
    assert "readonly PASSES=2\n" in made
    shellcheck("--exclude=SC2016,SC2034", "-", script=made)


def test_what_it_sees_beforehand_stands_in_the_plan(machine, image):
    made = plan.for_install(machine, image)
    assert made.is_possible
    assert "Nothing will be left on node1." in made.warnings
    machine.disks.update(size_bytes=0)
    assert "Nobody knows how large the disk of node1 is." in plan.for_install(machine, image).problems


def test_it_runs_to_its_end(machine, image, server, steps):
    install = installing.start(machine, image)
    steps()
    assert server.boot()
    assert server.say("install") == "applied"
    assert "DODAI_GRANTED=yes" in server.ask_grant()
    assert server.say("progress", {"phase": "zeros", "done_bytes": 1, "total_bytes": 2}) == "applied"
    assert server.say("erased") == "applied"
    fake.states["node1"] = Power.ON
    while (install := Install.objects.get(pk=install.pk)).is_live:
        Install.objects.update(look_again_at=None, state="running")
        steps()
    assert install.state == "installed"
    assert fake.states["node1"] == Power.OFF


def test_what_it_serves_is_served_while_its_attempt_goes_on(machine, image, server, steps):
    install = installing.start(machine, image)
    steps()
    token = server.ask_boot().partition("/script/")[2].split()[0]
    assert server.client.get(f"/file/{token}/motd").content == b"node1 is being erased\n"
    assert server.client.get(f"/file/{token}/other").status_code == 404
    assert server.client.get(f"/file/{'x' * 43}/motd").status_code == 404
    actions.cancel(install, by="tester")
    assert server.client.get(f"/file/{token}/motd").status_code == 404


def test_other_settings_of_the_image_than_approved_get_no_grant(machine, image, server, steps):
    installing.start(machine, image)
    steps()
    assert server.boot()
    server.say("install")
    Image.objects.update(metadata={"passes": 3})
    assert "DODAI_GRANTED=no" in server.ask_grant()


def test_who_writes_nothing_is_granted_nothing(machine, image, server, steps, monkeypatch):
    installing.start(machine, image)
    monkeypatch.setattr(METHODS["shred"], "writes_disks", False)
    steps()
    assert server.boot()
    assert "DODAI_GRANTED=no" in server.ask_grant()
    assert not Install.objects.filter(granted_at__isnull=False).exists()
