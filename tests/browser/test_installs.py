"""The list of installs in a browser: filters in the address, live rows, export."""

import pytest
from playwright.sync_api import expect

from installs.models import Install
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check
from tests.browser.test_live import LIVE


def test_choosing_filters_narrows_the_list_and_stays_in_the_address(opened):
    image = installing.make_image()
    scenes.failed(installing.make_machine("node-01"), image)
    scenes.start(installing.make_machine("node-02", number=2), image)
    page = opened("/installs/")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Cause of failure").select_option("digest")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("/installs/?cause=digest")
    page.fill("#fq", "node-02")
    expect(page.locator(".blank")).to_contain_text("No install matches these filters")
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_new_install_appears_by_itself(opened):
    image = installing.make_image()
    page = opened("/installs/")
    page.wait_for_selector(LIVE)
    expect(page.locator(".blank")).to_contain_text("Nothing was installed yet")
    scenes.start(installing.make_machine(), image)
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_export_is_of_what_is_shown(opened):
    image = installing.make_image()
    scenes.failed(installing.make_machine("node-01"), image)
    scenes.start(installing.make_machine("node-02", number=2), image)
    page = opened("/installs/?state=failed")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    text = download.value.path().read_text()
    assert "node-01" in text
    assert "node-02" not in text


@pytest.mark.parametrize("mode", MODES)
def test_it_is_accessible(opened, axe, mode):
    scenes.whole_fleet()
    failed = Install.objects.filter(state="failed").first()
    paths = ["/installs/?inspections=1", f"/installs/?cause={failed.cause}", "/installs/?q=nothing"]
    assert check(opened(mode=mode), axe, paths) == []
