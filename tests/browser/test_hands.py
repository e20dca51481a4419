"""Keys, filters, questions, themes: what people do with the pages."""

from playwright.sync_api import expect

from machines.models import PowerCommand
from tests import installing, scenes
from tests.browser.test_live import update


def test_typing_a_filter_asks_the_server_and_keeps_the_focus(opened):
    for number in (1, 2, 3):
        installing.make_machine(f"node-0{number}", number=number)
    page = opened("/machines/")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "fq"
    page.keyboard.type("node-02")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("/machines/?q=node-02")
    assert page.evaluate("document.activeElement.id") == "fq"
    page.get_by_text("In use", exact=False).first.click()
    expect(page.locator("td.empty")).to_be_visible()
    assert "state=in_use" in page.url


def test_the_rack_map_is_one_tab_stop_with_arrow_keys(opened):
    for number in range(1, 7):
        installing.make_machine(f"node-0{number}", number=number, rack=f"R{(number - 1) // 3 + 1}", unit=number)
    page = opened("/")
    assert page.locator(".u[tabindex='-1']").count() == 5
    page.locator(".u").first.focus()
    for key, expected in (
        ("ArrowDown", "node-02"),
        ("ArrowRight", "node-05"),
        ("ArrowUp", "node-04"),
        ("ArrowLeft", "node-01"),
    ):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.title").startswith(expected)
    page.keyboard.press("Enter")
    page.wait_for_url("**/machines/node-01/")


def test_switching_off_asks_first(opened):
    installing.make_machine()
    page = opened("/machines/node1/")
    page.click("button[value=off]")
    expect(page.locator("#confirm-text")).to_contain_text("Its OS cannot save anything")
    page.get_by_role("button", name="Keep as it is").click()
    assert not PowerCommand.objects.exists()
    page.click("button[value=off]")
    page.click("#confirm-yes")
    expect(page.locator(".flash")).to_have_text("node1 is being switched off.")
    assert PowerCommand.objects.get().action == "off"


def test_the_theme_is_kept(opened):
    page = opened("/")
    page.click("#themebtn")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_logging_in_and_out_by_hand(opened):
    scenes.make_user("viewer", password="secret-for-tests")
    page = opened("/machines/", group=None)
    page.fill("#id_username", "viewer")
    page.fill("#id_password", "secret-for-tests")
    page.keyboard.press("Enter")
    page.wait_for_url("**/machines/")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login/")


def test_the_menu_of_a_phone_opens_and_stays_open_through_an_update(opened):
    machine = installing.make_machine()
    page = opened("/machines/", mode="phone")
    page.click("#navbtn")
    update(page, machine)
    assert page.locator("#side").is_visible()
