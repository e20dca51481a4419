"""Inventory files, the locked login and the admin's way to the plan, in a real browser."""

import pytest
from playwright.sync_api import expect

from machines.models import Machine
from tests import installing, scenes
from tests.browser.conftest import MODES

FILE = "name,rack,owner,bmc_host,bmc_password,mac_1,switch_1\nnode1,R2,grace,10.0.0.9,s3cret,,\n" + "".join(
    f"new-{n},R9,,10.0.1.{n},pw,52:54:00:00:09:{n:02x},tor-9\n"
    for n in range(1, 30)  # and their switch
)
WRONG = "name,cluster,mac_1\nnode1,none,zz\nBad Name,,52:54:00:00:00:01\n"


def upload(page, text: str, name: str = "machines.csv") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": text.encode()})
    page.get_by_role("button", name="Show what would change").click()


def is_as_wide_as_the_screen(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_a_spreadsheet_is_previewed_and_entered(opened):
    machine = installing.make_machine()
    page = opened("/inventory/import/", group="admin")
    upload(page, FILE)
    expect(page.locator("h1")).to_have_text("What machines.csv would change")
    expect(page.locator("table.diff").first).to_contain_text("R2")
    assert "s3cret" not in page.content()
    page.get_by_role("button", name="Import: create 30, change 1").click()
    expect(page.locator(".flash")).to_contain_text("30 things were created, 1 was changed")
    machine.refresh_from_db()
    assert (machine.rack, Machine.objects.count()) == ("R2", 30)


def test_what_is_wrong_is_named_and_the_file_can_be_chosen_again(opened):
    installing.make_machine()
    page = opened("/inventory/import/", group="admin")
    upload(page, "name,nonsense\na,b\n")
    expect(page.locator("[role=alert]")).to_contain_text("line 1, column nonsense")
    upload(page, FILE)
    expect(page.get_by_role("button", name="Import: create 30")).to_be_visible()


@pytest.mark.parametrize("mode", MODES)
def test_the_pages_are_accessible(opened, axe, mode):
    installing.make_machine()
    page = opened("/inventory/import/", group="admin", mode=mode)
    assert axe(page) == []
    assert is_as_wide_as_the_screen(page)
    upload(page, FILE)
    page.wait_for_selector("table.diff")
    assert axe(page) == []
    assert is_as_wide_as_the_screen(page)


@pytest.mark.parametrize("mode", ["light", "dark phone"])
def test_the_locked_login_page(opened, axe, mode):
    scenes.make_user("viewer", name="ada", password="secret-for-tests")
    page = opened("/login/", group=None, mode=mode)
    for _ in range(5):
        page.fill("#id_username", "ada")
        page.fill("#id_password", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
    expect(page.locator("h1")).to_have_text("Too many wrong passwords")
    assert axe(page) == []
    page.get_by_role("link", name="Back to the login page").click()
    page.wait_for_url("**/login/")


def test_an_action_of_the_admin_leads_to_the_plan(opened):
    installing.make_image()
    for number in (1, 2):
        installing.make_machine(f"node{number}", number=number)
    page = opened("/admin/machines/machine/", group="admin")
    page.get_by_label("Select this object for an action - node1").check()
    page.get_by_label("Select this object for an action - node2").check()
    page.select_option("select[name=action]", "install")
    page.click("button[name=index]")
    page.wait_for_url("**/many/install/?machines=*")
    expect(page.locator("h1")).to_have_text("Install 2 machines")


@pytest.mark.parametrize("mode", MODES)
def test_the_admin_is_readable(opened, axe, mode):
    """Contrast and names, which are ours; the structure of Django's own templates is not."""
    machine = installing.make_machine()
    page = opened("/admin/", group="admin", mode=mode)
    for path in ("/admin/", "/admin/machines/machine/", f"/admin/machines/machine/{machine.pk}/history/"):
        page.goto(path)
        assert [found for found in axe(page) if found.startswith("color-contrast")] == []
