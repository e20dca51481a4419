"""Connect real servers and the fleet in a browser: steps that tick while one looks, practice servers that go."""

import pytest
from playwright.sync_api import expect

from machines import actions as machine_actions
from machines.models import Machine, Sighting
from tests import installing
from tests.browser.conftest import MODES
from tests.browser.test_live import LIVE, assert_not_reloaded, mark
from tests.test_pages_fleet import failures, practice_machine


@pytest.fixture(autouse=True)
def _reachable(settings):
    settings.PROVISION_URL, settings.IMAGE_URL = "http://10.0.0.2:8001", "http://10.0.0.2:8002"


def test_a_boot_request_ticks_its_step_and_becomes_a_machine(opened):
    installing.main_site()
    page = opened("/connect/")
    page.wait_for_selector(LIVE)
    mark(page)
    expect(page.locator("#step2")).to_have_attribute("data-s", "now")
    expect(page.locator("#step3")).to_contain_text("Waiting for the first boot request.")
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address="10.0.0.77", platform="efi")
    expect(page.locator("#step2")).to_have_attribute("data-s", "done")
    expect(page.locator("#step3")).to_contain_text("3c:ec:ef:00:00:01")
    page.get_by_label("Name for 3c:ec:ef:00:00:01").fill("node")
    machine_actions.record_sighting("3c:ec:ef:00:00:02", address="10.0.0.78", platform="bios")
    expect(page.locator("#step3")).to_contain_text("3c:ec:ef:00:00:02")
    assert page.get_by_label("Name for 3c:ec:ef:00:00:01").input_value() == "node", "what was typed stays"
    assert_not_reloaded(page)
    page.get_by_label("Name for 3c:ec:ef:00:00:01").fill("node7")
    page.locator(f"#s{Sighting.objects.get(mac='3c:ec:ef:00:00:01').pk}").get_by_role("button").click()
    page.wait_for_url("**/machines/node7/")
    page.goto("/connect/")
    expect(page.locator("#step3")).to_have_attribute("data-s", "done")
    assert Machine.objects.get().pxe_interface.mac == "3c:ec:ef:00:00:01"


def test_the_lines_of_each_dhcp_server_are_behind_a_tab(opened):
    page = opened("/connect/")
    expect(page.locator("#panel-dnsmasq-proxy")).to_contain_text("dhcp-range=10.0.0.0,proxy")
    page.focus("#tab-dnsmasq-proxy")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-kea")).to_contain_text('"subnet": "10.0.0.0/24"')
    assert page.locator("#panel-dnsmasq-proxy").is_hidden()
    page.fill("#network", "10.9.0.0/16")
    expect(page.locator("#panel-kea")).to_contain_text('"subnet": "10.9.0.0/16"')
    assert page.locator("#panel-kea").is_visible(), "the tab that was chosen stays"
    page.fill("#network", "10.9.0.0/99")
    expect(page.locator("#network-problem")).to_contain_text("write it like 10.0.0.0/24")


def test_practice_servers_are_removed_with_one_click(opened):
    practice_machine(1)
    installing.make_machine("node1", number=1)
    page = opened("/")
    expect(page.locator(".kpis")).to_contain_text("Machines1")
    page.get_by_role("button", name="Remove practice servers").click()
    expect(page.locator(".flash")).to_contain_text("The practice servers are removed.")
    expect(page.get_by_role("button", name="Remove practice servers")).to_have_count(0)
    assert Machine.objects.practice().get().state == "retired"


def test_tiles_of_a_large_fleet_are_one_tab_stop_with_arrow_keys(opened, axe):
    from tests.bench import many_machines

    many_machines.fill(640)
    page = opened("/")
    assert page.locator(".tiles a").count() == 16
    assert page.locator(".tiles a:not([tabindex='-1'])").count() == 1
    page.locator(".tiles a").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.title").startswith("R001")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/machines/?rack=R000")
    expect(page.locator("tbody tr[id]")).to_have_count(40)
    assert axe(page) == []


@pytest.mark.parametrize("mode", MODES)
def test_these_pages_have_no_fault(opened, axe, mode):
    from tests.bench import many_machines

    failures(3, "silent")
    practice_machine(1)
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address="10.0.0.77", platform="efi")
    page = opened("/connect/", group="admin", mode=mode)
    for path in ("/connect/", "/connect/?network=x", "/", "/machines/?kind=practice"):
        page.goto(path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], path
    many_machines.fill(640)
    page.goto("/")
    assert axe(page) == []


def test_an_empty_dodai_leads_to_connecting(opened, axe):
    page = opened("/", group="admin")
    page.locator(".blank").get_by_role("link", name="Connect real servers").click()
    page.wait_for_url("**/connect/")
    page.set_viewport_size({"width": 1280, "height": 2000})  # or the pinned card hides some words from axe
    assert axe(page) == []
