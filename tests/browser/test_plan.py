"""The plan in a browser: what is used wants its name typed, and nothing happens before."""

import pytest
from playwright.sync_api import expect

from installs.models import Install
from machines.models import Machine
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check


def test_a_machine_in_use_is_wiped_only_with_its_name_typed(opened):
    installing.make_machine(image_name="debian-11", owner="storage team")
    installing.make_image("debian-12")
    Machine.objects.update(state="in_use")
    page = opened("/machines/node1/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Reinstall…").click()
    expect(page.locator(".confirm")).to_contain_text("node1 is in use. Type its name, node1, to wipe it")
    expect(page.locator(".beside")).to_contain_text("storage team")
    press = page.get_by_role("button", name="Wipe DISK1 and install debian-12")
    press.click()
    page.fill("#typed", "node2")
    press.click()
    assert not Install.objects.exists()
    page.fill("#typed", "node1")
    press.click()
    page.wait_for_url("**/installs/*/")
    assert Install.objects.get().machine.name == "node1"


@pytest.mark.parametrize("mode", MODES)
def test_it_is_accessible(opened, axe, mode):
    made = scenes.whole_fleet()
    image = made["installed"].image_id
    paths = [f"/machines/{name}/install/?image={image}" for name in ("node-01", "node-15", "node-13")]
    assert check(opened(mode=mode), axe, paths) == []
