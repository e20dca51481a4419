"""An install by hand, from the button to the end, as somebody with a phone in the machine room does it."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from installs.models import Event, Image, Install
from tests import installing, manual, scenes
from tests.browser.conftest import MODES

SHOTS = os.environ.get("DODAI_SHOTS", "")


def shot(page: Page, name: str) -> None:
    """For who looks at the pages: `DODAI_SHOTS=folder pytest tests/browser/test_by_hand.py`."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def begin(page: Page) -> Install:
    """By the plan's button; then the engine calls the operator."""
    press(page, "Call an operator to install by-hand on node1")
    page.wait_for_url("**/installs/*/")
    scenes.work()
    page.reload()
    return Install.objects.get()


def state(install: Install) -> tuple[str, str]:
    install.refresh_from_db()
    return install.state, install.cause


def test_from_the_button_to_done_on_a_phone(opened, axe):
    machine, image = installing.make_machine(rack="R7", unit=12), manual.make_image()
    page = opened(f"/machines/node1/install/?image={image.pk}", mode="phone")
    expect(page.locator("main")).to_contain_text("An operator installs node1 by hand")
    expect(page.locator(".checklist strong")).to_have_text("only")
    shot(page, "plan-phone")
    install = begin(page)
    page.get_by_role("alert").get_by_role("link", name="Checklist").click()
    page.wait_for_url("**/task/")
    expect(page.locator("#state-title")).to_have_text("Somebody is needed here")
    expect(page.locator("main")).to_contain_text("R7, unit 12")
    assert axe(page) == []
    shot(page, "task-open-phone")
    press(page, "I take it")
    expect(page.locator("#state-title")).to_have_text("operator-1 is at it")
    page.get_by_label("Step 1 done").check()
    page.get_by_label("Write a note").fill("The stick was in the drawer.")
    press(page, "Keep it")
    expect(page.locator(".said")).to_contain_text("The stick was in the drawer.")
    expect(page.get_by_label("Step 1 done")).to_be_checked()
    expect(page.get_by_label("Step 2 done")).not_to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "task-taken-phone")
    press(page, "Done")
    expect(page.locator("#confirm-text")).to_have_text("node1 runs by-hand now?")
    press(page, "Yes, it is done")
    expect(page.locator("#state-title")).to_have_text("Installed")
    expect(page.locator("main")).to_contain_text("confirmed by operator-1")
    assert state(install) == ("installed", "")
    machine.refresh_from_db()
    assert (machine.state, machine.image_name) == ("in_use", "by-hand")
    shot(page, "task-done-phone")
    page.goto(f"/installs/{install.pk}/")
    expect(page.locator(".facts")).to_contain_text("Confirmed by")
    assert axe(page) == []
    shot(page, "install-done-phone")


def test_what_cannot_be_done_fails_in_their_words(opened, axe):
    installing.make_machine()
    image = manual.make_image()
    page = opened(f"/machines/node1/install/?image={image.pk}", mode="dark phone")
    install = begin(page)
    page.goto(f"/installs/{install.pk}/task/")
    page.get_by_text("Cannot be done…").click()
    page.get_by_label("Why not?").fill("The cage is <b>locked</b>.")
    page.get_by_label("I wrote nothing on its disks").check()
    assert axe(page) == []
    shot(page, "task-cannot-dark-phone")
    press(page, "It cannot be done")
    expect(page.locator(".flash")).to_contain_text("fails in your words")
    scenes.settle(install)
    assert state(install) == ("failed", "cannot-be-done")
    page.goto(f"/installs/{install.pk}/")
    expect(page.locator("#failure-title")).to_contain_text("The cage is <b>locked</b>.")
    page.goto("/")
    expect(page.locator(".attn")).to_contain_text("an operator could not do it")


def test_another_one_sees_at_once_who_took_it(opened):
    installing.make_machine()
    manual.make_image()
    install = scenes.start(installing.Machine.objects.get(), Image.objects.get())
    scenes.work()
    mine, other = opened(f"/installs/{install.pk}/task/"), opened(f"/installs/{install.pk}/task/")
    mine.wait_for_selector("#live[data-on='1']")
    press(other, "I take it")
    expect(mine.locator("#state-title")).to_have_text("operator-2 is at it")
    expect(mine.get_by_role("button", name="I take it")).to_have_count(0)


@pytest.mark.parametrize("mode", MODES)
def test_all_pages_that_know_of_it(opened, axe, mode):
    """The fleet that calls, the chain after a failure, methods, the image, the plan and the task itself."""
    first, other = installing.make_machine(), installing.make_machine("node2", number=2)
    scenes.installed(other, installing.make_image())
    failed = scenes.failed(first, manual.with_fallbacks(name="chained"), message="no such file")
    second = failed.retries.get()
    scenes.work()
    page, found = opened("/", group="admin", mode=mode), []
    image = Image.objects.get(name="chained")
    paths = {
        "fleet": "/", "task": f"/installs/{second.pk}/task/", "install": f"/installs/{second.pk}/",
        "failed": f"/installs/{failed.pk}/", "methods": "/methods/", "image": f"/images/{image.pk}/",
        "plan": f"/machines/node2/install/?image={image.pk}", "images": "/images/",
    }  # fmt: skip
    for name, path in paths.items():
        page.goto(path)
        page.wait_for_load_state("load")
        found += [f"{path} {violation}" for violation in axe(page)]
        wide = page.evaluate("document.documentElement.scrollWidth") - page.viewport_size["width"]
        found += [f"{path} is {wide} px too wide"] if wide > 0 else []
        shot(page, f"{name}-{mode.replace(' ', '-')}")
    assert found == []
    page.goto("/")
    expect(page.locator(".attn .person")).to_contain_text("node1: waits for a person")
    page.goto(f"/installs/{failed.pk}/")
    expect(page.locator("main")).to_contain_text(f"It goes on as #{second.pk} with the method “By an operator”.")
    page.goto(f"/installs/{second.pk}/")
    expect(page.locator("main")).to_contain_text(f"goes on after #{failed.pk} failed")


def test_the_admin_asks_for_what_a_fallback_needs(opened):
    image = installing.make_image()
    page = opened(f"/admin/installs/image/{image.pk}/change/", group="admin")
    page.select_option("#id_fallback1", "manual")
    page.click("input[name=_continue]")
    expect(page.locator(".errorlist").first).to_contain_text("This field is required")
    page.fill("#id_fallback1-checklist", "1. Go there.")
    page.fill("#id_fallback1-answer_minutes", "30")
    page.fill("#id_fallback1-work_minutes", "60")
    page.click("input[name=_continue]")
    expect(page.locator(".messagelist .success")).to_be_visible()
    image.refresh_from_db()
    assert image.fallbacks == [
        {"method": "manual", "metadata": {"checklist": "1. Go there.", "answer_minutes": 30, "work_minutes": 60}}
    ]
    assert Event.objects.count() == 0
