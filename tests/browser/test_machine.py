"""The page of one machine: setting aside and taking back, notes, its menu."""

import pytest
from playwright.sync_api import expect

from machines import cabling, doorbell
from machines.models import Machine, Switch
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check
from tests.browser.test_live import LIVE, update


def test_setting_aside_and_taking_back(opened):
    installing.make_machine()
    page = opened("/machines/node1/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Set aside…").click()
    assert page.evaluate("document.activeElement.name") == "why"
    page.keyboard.type("fan 3 rattles")
    page.keyboard.press("Enter")
    expect(page.locator(".flash.hold")).to_contain_text("fan 3 rattles")
    expect(page.locator(".head .st")).to_have_text("Set aside")
    assert not page.get_by_role("link", name="Install", exact=True).is_visible()
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".head .st")).to_have_text("Free")
    assert Machine.objects.get().state == "free"


def test_the_menu_closes_by_escape_and_by_a_click_elsewhere(opened):
    installing.make_machine()
    page = opened("/machines/node1/")
    menu = page.locator("details.menu")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("#facts-title").click()):
        menu.locator("summary").click()
        expect(menu).to_have_attribute("open", "")
        close()
        expect(menu).not_to_have_attribute("open", "")


def test_a_refused_form_keeps_its_words_through_an_update(opened):
    machine = installing.make_machine()
    page = opened("/machines/node1/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Set aside…").click()
    page.fill("[name=why]", "fan 3 rattles")
    page.fill("[name=until]", "2001-01-01T00:00")
    page.locator("#set_aside").get_by_role("button", name="Set aside").click()
    expect(page.locator("#set_aside [role=alert]")).to_contain_text("This time is over")
    update(page, machine)
    expect(page.locator("#set_aside [role=alert]")).to_contain_text("This time is over")
    assert page.input_value("[name=why]") == "fan 3 rattles"
    page.get_by_role("button", name="Leave it").click()
    expect(page.locator("#set_aside")).to_be_hidden()


def test_notes_that_are_being_typed_are_left_alone(opened):
    machine = installing.make_machine(notes="bring a ladder")
    page = opened("/machines/node1/")
    page.wait_for_selector(LIVE)
    page.fill("#notes", "bring a longer ladder")
    Machine.objects.update(notes="somebody else's", rack="R9")
    doorbell._publish({"install": None, "machine": machine.pk})
    expect(page.locator("dd", has_text="R9")).to_be_visible()
    page.get_by_role("button", name="Save notes").click()
    expect(page.locator(".flash.error")).to_contain_text("Somebody changed the notes meanwhile")
    assert page.input_value("#notes") == "bring a longer ladder"
    page.get_by_role("button", name="Save notes").click()
    expect(page.locator(".flash.success")).to_be_visible()
    assert Machine.objects.get().notes == "bring a longer ladder"


@pytest.mark.parametrize("mode", MODES)
def test_its_forms_are_accessible(opened, axe, mode):
    machine = scenes.whole_fleet()["installed"].machine
    Machine.objects.filter(pk=machine.pk).update(facts={"serial": "OTHER"}, notes="bring a ladder")
    page = opened(f"/machines/{machine.name}/", mode=mode, group="admin")
    assert check(page, axe, [f"/machines/{machine.name}/", "/machines/node-12/"]) == []
    page.goto(f"/machines/{machine.name}/")
    page.get_by_text("More", exact=True).click()
    page.wait_for_timeout(100)
    assert axe(page) == []
    page.get_by_role("button", name="Set aside…").click()
    assert axe(page) == []


def asked_to_move_a_port() -> None:
    card = installing.make_machine().interfaces.get()
    patch = Switch.objects.create(name="patch-panel-of-the-cellar", vlans="210", ports="Ethernet1/7")
    card.switch, card.switch_port = patch, "Ethernet1/7"
    card.save()
    cabling.move_cards({card: 210}, by="install 7")


def test_a_port_is_moved_by_hand_and_confirmed(opened):
    asked_to_move_a_port()
    page = opened("/machines/node1/")
    task = page.locator(".task")
    expect(task).to_contain_text("Put port Ethernet1/7 of the switch patch-panel-of-the-cellar into VLAN 210.")
    task.get_by_role("button", name="Done").click()
    expect(page.locator(".flash")).to_contain_text("counts as moved")
    expect(task).to_have_count(0)


@pytest.mark.parametrize("mode", MODES)
def test_what_asks_for_a_moved_port_is_accessible(opened, axe, mode):
    asked_to_move_a_port()
    page = opened("/machines/node1/", mode=mode)
    page.locator(".task summary").click()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
