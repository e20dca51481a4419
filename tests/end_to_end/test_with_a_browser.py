"""What an operator does and sees in a browser while a real practice server is installed, cancelled and switched."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import launched, need_chromium
from tests.end_to_end.dodai import INSTALL_SECONDS

INSTALLED, CANCELLED = "practice-3", "practice-2"
STEP_SECONDS = 300
LIVE = "#live[data-on='1']"

Opened = Callable[[str], Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_chromium()
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(browser: Browser, first_start, installed) -> Iterator[Opened]:
    """Call it for a page of whoever logged in with the password that the first start printed."""
    context = browser.new_context(base_url=first_start.url, locale="en-GB", viewport={"width": 1440, "height": 900})
    complaints: list[str] = []

    def open_page(path: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    page = open_page("/")
    page.get_by_label("User name").fill(first_start.user)
    page.get_by_label("Password").fill(first_start.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet at a glance")
    yield open_page
    context.close()
    assert not complaints


def choose_tiny(page: Page) -> None:
    page.locator("label.choice", has=page.locator("b", has_text=re.compile("^tiny$"))).click()


def approve(page: Page, machine: str) -> None:
    """From the plan's page to the install that it starts; a machine in use wants its name typed."""
    choose_tiny(page)
    page.wait_for_url("**image=*")
    press = page.get_by_role("button", name=re.compile("^Wipe .* and install tiny$"))
    expect(press).to_be_visible()
    typed = page.get_by_label(re.compile("Type its name"))
    if typed.count():
        typed.fill(machine)
    press.click()
    page.wait_for_url("**/installs/*/")


def test_the_map_knows_all_practice_servers(opened: Opened) -> None:
    page = opened("/")
    for number in (1, 2, 3):
        expect(page.get_by_role("link", name=re.compile(f"practice-{number}")).first).to_be_visible()


def test_the_plan_names_the_disk_that_the_machine_really_has(opened: Opened, dodai) -> None:
    serial = dodai.database(f"Disk.objects.get(machine__name={INSTALLED!r}, is_root=True).serial")
    page = opened(f"/machines/{INSTALLED}/install/")
    choose_tiny(page)
    expect(page.locator(".wipe")).to_contain_text(serial)
    expect(page.locator(".beside")).to_contain_text("about")


def test_an_install_is_watched_live_from_the_click_to_the_os(opened: Opened, dodai) -> None:
    page = opened(f"/machines/{INSTALLED}/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Reinstall…").click()
    approve(page, INSTALLED)
    page.wait_for_selector(LIVE)
    page.evaluate("window.unreloaded = true")
    expect(page.locator("#console")).to_contain_text("Linux version", timeout=STEP_SECONDS * 1000)
    expect(page.locator("#log")).not_to_be_empty(timeout=STEP_SECONDS * 1000)
    expect(page.locator(".facts").first).to_contain_text("Write grant")
    expect(page.locator(".hero strong")).to_have_text("Installed", timeout=INSTALL_SECONDS * 1000)
    assert page.locator(".tl li[data-s=todo]").count() == 0
    assert page.evaluate("window.unreloaded") is True
    assert dodai.lab(INSTALLED)["power"] == "on"
    assert dodai.last_install(INSTALLED)["state"] == "installed"


def test_cancelling_while_the_disk_is_written_tells_the_truth(opened: Opened, dodai) -> None:
    page = opened(f"/machines/{CANCELLED}/install/")
    approve(page, CANCELLED)
    not_granted = page.get_by_role("region", name="Facts").get_by_text("not given")
    expect(not_granted).to_have_count(0, timeout=STEP_SECONDS * 1000)
    page.get_by_role("button", name="Cancel install").click()
    page.locator("#confirm-yes").click()
    expect(page.locator(".hero strong")).to_contain_text("Cancelled", timeout=STEP_SECONDS * 1000)
    expect(page.locator("main")).to_contain_text("half-written: install it again")
    assert dodai.lab(CANCELLED)["power"] == "off"


def test_power_is_switched_by_a_click_and_read_from_the_bmc(opened: Opened, dodai) -> None:
    page = opened(f"/machines/{INSTALLED}/")
    power = page.get_by_role("region", name="Power")
    expect(power.locator(".pw").first).to_have_attribute("data-p", "on", timeout=STEP_SECONDS * 1000)
    power.get_by_role("button", name="Off", exact=True).click()
    page.locator("#confirm-yes").click()
    expect(power.locator(".pw").first).to_have_attribute("data-p", "off", timeout=STEP_SECONDS * 1000)
    assert dodai.lab(INSTALLED)["power"] == "off"
