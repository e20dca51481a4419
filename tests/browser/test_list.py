"""The list of machines in a browser: its keys, a selection that stays, and installing many from it."""

import re

from playwright.sync_api import expect

from installs.models import Install
from machines import actions as machine_actions
from machines import doorbell
from machines.models import Machine, PowerCommand
from tests import installing, scenes
from tests.browser.test_live import LIVE, update

CHOSEN = "#chosen-count"


def fleet(count: int, **fields) -> list[Machine]:
    return [installing.make_machine(f"node{n:02}", number=n, **fields) for n in range(1, count + 1)]


def focused(page) -> str:
    return page.evaluate("document.activeElement.textContent.trim()")


def test_rows_are_walked_selected_and_opened_by_keys(opened):
    fleet(4)
    page = opened("/machines/")
    for key, expected in (
        ("j", "node01"),
        ("j", "node02"),
        ("ArrowDown", "node03"),
        ("k", "node02"),
        ("ArrowUp", "node01"),
    ):
        page.keyboard.press(key)
        assert focused(page) == expected
    page.keyboard.press("x")
    expect(page.locator(CHOSEN)).to_have_text("1 selected")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#chosen-install")).to_have_text("Install 2…")
    page.keyboard.press("x")
    expect(page.locator(CHOSEN)).to_have_text("1 selected")
    page.keyboard.press("/")
    page.keyboard.type("xj")
    assert page.input_value("#fq") == "xj", "while typing the keys are letters"
    page.fill("#fq", "node02")
    expect(page.locator("tbody tr[id]")).to_have_count(1)
    page.locator("tbody th a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/machines/node02/")


def test_the_keys_are_listed(opened):
    page = opened("/machines/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_the_list_is_one_row_of_tab_stops(opened):
    fleet(5)
    page = opened("/machines/")
    parts = ", ".join(f"table.machines tbody {part}" for part in ("a", "input", "summary"))
    stops = f"[...document.querySelectorAll('{parts}')]"
    assert page.evaluate(f"new Set({stops}.filter(e => e.tabIndex === 0).map(e => e.closest('tr').id)).size") == 1
    page.keyboard.press("j")
    page.keyboard.press("j")
    row = page.evaluate(f"[...new Set({stops}.filter(e => e.tabIndex === 0).map(e => e.closest('tr').id))]")
    assert row == [f"m{Machine.objects.get(name='node02').pk}"]


def test_a_selection_survives_updates_pages_and_filters(opened):
    from datetime import timedelta

    from machines.power.base import Power

    machines = fleet(30)
    page = opened("/machines/?size=25")
    page.wait_for_selector(LIVE)
    page.get_by_label("Select node01").check()
    machine_actions.record_power(machines[1], Power.ON, next_in=timedelta())
    expect(page.locator("tr .pw[data-p=on]")).to_have_count(1)
    assert page.get_by_label("Select node01").is_checked()
    page.get_by_label("Next page").click()
    page.wait_for_url("**page=2**")
    page.get_by_label("Select node30").check()
    expect(page.locator(CHOSEN)).to_have_text("2 selected")
    page.goto("/machines/?q=node01")
    assert page.get_by_label("Select node01").is_checked()
    expect(page.locator(CHOSEN)).to_have_text("2 selected")
    page.get_by_label("Select none").click()
    expect(page.locator("#chosen")).to_be_hidden()
    assert not page.get_by_label("Select node01").is_checked()


def test_who_is_in_use_is_counted_and_followed(opened):
    machines = fleet(3)
    page = opened("/machines/")
    page.wait_for_selector(LIVE)
    page.get_by_label("Select all on this page").check()
    expect(page.locator("#chosen-install")).to_have_text("Install 3…")
    Machine.objects.filter(pk__in=[machine.pk for machine in machines[:2]]).update(state="in_use")
    doorbell._publish({"install": None, "machine": machines[0].pk})
    expect(page.locator("#chosen-install")).to_have_text("Install 3… (2 in use)")


def test_select_all_takes_what_matches_on_other_pages_too(opened):
    fleet(28)
    page = opened("/machines/?size=25&q=node")
    page.get_by_label("Select all on this page").check()
    expect(page.locator(CHOSEN)).to_have_text("25 selected")
    page.get_by_role("button", name="Select all 28 that match").click()
    expect(page.locator(CHOSEN)).to_have_text("28 selected")
    expect(page.locator("#chosen-all")).to_be_hidden()


def test_a_click_with_shift_selects_the_rows_between(opened):
    fleet(6)
    page = opened("/machines/")
    page.get_by_label("Select node02").click()
    page.get_by_label("Select node05").click(modifiers=["Shift"])
    expect(page.locator(CHOSEN)).to_have_text("4 selected")


def test_the_menu_of_a_row_offers_what_can_be_done_to_its_machine(opened):
    used, protected, free = fleet(3)
    Machine.objects.filter(pk=used.pk).update(state="in_use")
    Machine.objects.filter(pk=protected.pk).update(protected=True)
    page = opened("/machines/")
    menu = page.locator("#row-menu")
    offered = {}
    for machine in (used, protected, free):
        page.get_by_label(f"More for {machine.name}").click()
        offered[machine.name] = [link.inner_text() for link in menu.locator("a").all() if link.is_visible()]
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
    assert offered["node01"][:2] == ["Open", "Reinstall…"]
    assert "Install…" in offered["node03"]
    assert "Reinstall…" not in offered["node03"]
    assert offered["node02"] == ["Open", "Set aside…", "Cluster…", "All its installs"]
    page.get_by_label("More for node01").click()
    menu.get_by_role("link", name="Reinstall…").click()
    page.wait_for_url("**/machines/node01/install/")


def test_many_are_installed_from_the_list(opened):
    machines = fleet(3)
    Machine.objects.filter(pk=machines[2].pk).update(state="in_use", image_name="old")
    installing.make_image("debian-12")
    page = opened("/machines/")
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Install 3… (1 in use)").click()
    page.wait_for_url("**/many/install/**")
    page.get_by_text("debian-12", exact=True).click()
    page.wait_for_url("**image=*")
    for serial in ("DISK1", "DISK2", "DISK3"):
        expect(page.get_by_text(serial, exact=False).first).to_be_visible()
    page.get_by_label(re.compile("Type how many machines")).fill("3")
    page.get_by_label(re.compile("Type its name")).fill("node03")
    expect(page.locator(".many > .flash")).to_be_hidden()
    page.get_by_role("button", name="Wipe 3 disks and install").click()
    page.wait_for_url("**/many/results/")
    expect(page.locator("#done-title")).to_have_text("Done: 3")
    assert Install.objects.live().count() == 3


def test_what_was_typed_stays_when_the_page_is_brought_up_to_date(opened):
    machines = fleet(2)
    Machine.objects.update(state="in_use")
    image = installing.make_image()
    page = opened(f"/many/install/?image={image.pk}&machines={machines[0].pk},{machines[1].pk}")
    page.fill("#typed-names", "node01 no")
    update(page, machines[0])
    assert page.input_value("#typed-names") == "node01 no"
    assert page.evaluate("document.activeElement.id") == "typed-names"


def test_a_group_of_failures_is_tried_again_from_the_fleet(opened):
    from tests.test_pages_fleet import failures

    failures(3, "silent")
    page = opened("/")
    group = page.locator("#g-silent")
    expect(group).to_contain_text("3 machines: fell silent")
    group.get_by_role("link", name="Show").click()
    expect(page.locator("tbody tr[id]")).to_have_count(3)
    page.go_back()
    page.locator("#g-silent").get_by_role("link", name="Retry all…").click()
    expect(page.get_by_label("The same again")).to_be_checked()
    page.get_by_role("button", name="Wipe 3 disks and install").click()
    page.wait_for_url("**/many/results/")
    assert set(Install.objects.live().values_list("retry_of__cause", flat=True)) == {"silent"}


def test_power_of_many(opened):
    machines = fleet(2)
    Machine.objects.filter(pk=machines[0].pk).update(protected=True)
    page = opened("/machines/")
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Power…").click()
    expect(page.locator(".problem")).to_contain_text("node01 is protected")
    page.get_by_role("button", name="Switch on").click()
    page.wait_for_url("**/many/results/")
    assert [command.machine.name for command in PowerCommand.objects.all()] == ["node02"]


def test_pages_of_many_have_no_fault(opened, axe):
    machines = fleet(3)
    Machine.objects.filter(pk=machines[0].pk).update(state="in_use")
    Machine.objects.filter(pk=machines[1].pk).update(protected=True)
    image, ids = installing.make_image(), ",".join(str(machine.pk) for machine in machines)
    paths = [f"/many/install/?image={image.pk}&machines={ids}", f"/many/power/?machines={ids}", "/many/results/"]
    paths += [f"/many/{verb}/?machines={ids}" for verb in ("inspect", "aside", "cluster")] + ["/many/install/"]
    for mode in ("light", "dark", "phone", "dark phone"):
        page = opened("/", mode=mode)
        for path in paths:
            page.goto(path)
            assert axe(page) == [], (mode, path)
            assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], (mode, path)


def test_the_list_with_a_selection_and_an_open_menu_has_no_fault(opened, axe):
    scenes.whole_fleet()
    for mode in ("light", "dark", "phone", "dark phone"):
        page = opened("/machines/", mode=mode)
        page.get_by_label("Select node-01").check()
        page.get_by_label("More for node-02").click()
        assert axe(page) == [], mode
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], mode
