"""The page of one install: log and console side by side, and what can be done with them."""

import pytest
from playwright.sync_api import expect

from installs.models import Install
from machines.models import Machine, Site
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check
from tests.browser.test_live import LIVE, assert_not_reloaded, finish, mark


@pytest.fixture
def running(site, settings, tmp_path) -> tuple[Install, installing.Server]:
    settings.DATA = tmp_path
    for folder in ("lab/node1", "images"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lab" / "node1" / "console.log").write_text("SeaBIOS\n" + "a line\n" * 100 + "login:\n")
    machine = installing.make_machine()
    Machine.objects.update(site=Site.objects.create(name="practice", is_practice=True))
    machine.refresh_from_db()
    return scenes.until_installer(machine, installing.make_image())


def tell(server: installing.Server, text: str) -> None:
    server.client.post("/event/log", text, "text/plain", headers=server._headers())


def test_log_and_console_are_seen_together(opened, running):
    install, server = running
    tell(server, "unpacking\n")
    page = opened(f"/installs/{install.pk}/")
    expect(page.locator("#log")).to_contain_text("unpacking")
    expect(page.locator("#console")).to_contain_text("login:")
    log, console = page.locator("#log").bounding_box(), page.locator("#console").bounding_box()
    assert log["y"] == console["y"]
    assert log["x"] < console["x"]


def test_a_paused_log_stands_still_and_catches_up(opened, running):
    install, server = running
    tell(server, "first\n")
    page = opened(f"/installs/{install.pk}/")
    page.wait_for_selector(LIVE)
    pause = page.locator("[data-pauses=log]")
    pause.click()
    tell(server, "second\n")
    server.say("progress", {"phase": "fetch", "done_bytes": 1, "total_bytes": 2})
    expect(page.locator(".hero strong")).to_have_text("Fetching the image")
    assert "second" not in page.locator("#log").inner_text()
    assert pause.get_attribute("aria-pressed") == "true"
    pause.click()
    expect(page.locator("#log")).to_contain_text("second")


def test_searching_counts_and_walks_through_what_is_found(opened, running):
    install, server = running
    tell(server, "one error\n" + "line\n" * 200 + "another Error\n")
    page = opened(f"/installs/{install.pk}/")
    page.fill("[data-finds=log]", "error")
    expect(page.locator("[data-found=log]")).to_have_text("1/2")
    assert page.evaluate("document.getElementById('log').scrollTop") < 50
    page.keyboard.press("Enter")
    expect(page.locator("[data-found=log]")).to_have_text("2/2")
    assert page.evaluate("document.getElementById('log').scrollTop") > 500
    page.keyboard.press("Enter")
    expect(page.locator("[data-found=log]")).to_have_text("1/2")
    page.fill("[data-finds=log]", "nowhere")
    expect(page.locator("[data-found=log]")).to_have_text("0/0")


def test_long_lines_can_be_left_long(opened, running):
    install, server = running
    tell(server, "x" * 600 + "\n")
    page = opened(f"/installs/{install.pk}/")
    wide = "(l => l.scrollWidth > l.clientWidth)(document.getElementById('log'))"
    assert not page.evaluate(wide)
    page.uncheck("[data-wraps=log]")
    assert page.evaluate(wide)


def test_the_log_can_be_downloaded(opened, running):
    install, server = running
    tell(server, "unpacking\n")
    page = opened(f"/installs/{install.pk}/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all of it").first.click()
    assert download.value.suggested_filename == f"node1-install-{install.pk}.log"


def test_an_install_is_followed_to_its_end(opened, site):
    machine = installing.make_machine()
    install = scenes.start(machine, installing.make_image())
    page = opened(f"/installs/{install.pk}/")
    page.wait_for_selector(LIVE)
    mark(page)
    expect(page.locator(".hero strong")).to_have_text("Waiting in the queue")
    finish(machine)
    expect(page.locator(".hero strong")).to_have_text("Installed")
    assert page.locator(".tl li[data-s=todo]").count() == 0
    assert_not_reloaded(page)


def test_cancelling_says_what_is_left_behind_before_and_after(opened, running):
    install, server = running
    server.ask_grant()
    server.say("progress", {"phase": "copy", "done_bytes": 1, "total_bytes": 2})
    page = opened(f"/installs/{install.pk}/")
    page.get_by_role("button", name="Cancel install").click()
    expect(page.locator("#confirm-text")).to_contain_text("Its disk DISK1 is half-written")
    page.click("#confirm-yes")
    expect(page.locator(".hero strong")).to_have_text("Cancelling")
    scenes.settle(install)
    expect(page.locator(".flash", has_text="half-written: install it again")).to_be_visible()


@pytest.mark.parametrize("mode", MODES)
def test_it_is_accessible(opened, axe, running, mode):
    install, server = running
    tell(server, "unpacking\nwarning: slow\nFAILED\n")
    assert check(opened(mode=mode), axe, [f"/installs/{install.pk}/"]) == []
