"""System in a browser: what is not well comes first, and goes by itself once it is."""

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from machines import doorbell
from machines.models import Beat
from tests import scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check


def test_what_is_broken_says_what_to_do_and_goes_once_it_is_well(opened):
    page = opened("/system/")
    problem = page.locator(".problem")
    expect(problem).to_contain_text("Watchdog")
    expect(problem).to_contain_text("No deadline is kept until it runs again")
    page.wait_for_selector("#live[data-on='1']")
    Beat.objects.create(name="watchdog", at=now())
    doorbell._publish({"all": True})
    expect(problem).not_to_contain_text("Watchdog")


@pytest.mark.parametrize("mode", MODES)
def test_it_is_accessible(opened, axe, mode):
    scenes.whole_fleet()
    assert check(opened(mode=mode, group="admin"), axe, ["/system/"]) == []
