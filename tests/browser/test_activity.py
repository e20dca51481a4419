"""Activity in a browser: filters, the next page, new rows by themselves."""

import pytest
from playwright.sync_api import expect

from machines import actions as machine_actions
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check
from tests.browser.test_live import LIVE


def test_what_somebody_does_appears_by_itself(opened):
    machine = installing.make_machine()
    page = opened("/activity/")
    page.wait_for_selector(LIVE)
    machine_actions.request_power(machine, "on", by="grace")
    expect(page.locator("tbody tr")).to_contain_text("asked to switch on")


def test_filtering_and_going_back_in_time(opened):
    from tests.test_page_activity import fill

    fill(100)
    page = opened("/activity/")
    expect(page.locator("tbody tr").nth(50)).to_be_visible()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**/activity/?before=*")
    page.get_by_role("link", name="Newest").click()
    page.wait_for_url(lambda address: "before" not in address)
    page.get_by_text("Power", exact=True).first.click()
    expect(page.locator("tbody tr", has_text="asked to install")).to_have_count(0)
    assert "kind=power" in page.url


@pytest.mark.parametrize("mode", MODES)
def test_it_is_accessible(opened, axe, mode):
    scenes.whole_fleet()
    assert check(opened(mode=mode, group="admin"), axe, ["/activity/", "/activity/?who=nobody"]) == []
