"""axe-core finds nothing on any page, in both themes and on a phone, and nothing is wider than the phone."""

import pytest

from tests import scenes
from tests.browser.conftest import MODES

EMPTY = ("/", "/machines/", "/installs/", "/images/", "/sightings/")


def check(page, axe, paths) -> list[str]:
    found = []
    for path in paths:
        page.goto(path)
        page.wait_for_load_state("load")
        found += [f"{path} {violation}" for violation in axe(page)]
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > page.viewport_size["width"]:
            found.append(f"{path} is {width} px wide")
    return found


def paths_of_each_kind(made) -> list[str]:
    image = f"install/?image={made['failed'].image_id}"
    lists = ["/", "/machines/", "/installs/?inspections=1", "/images/", "/sightings/"]
    installs = [f"/installs/{made[name].pk}/" for name in ("copying", "failed", "installed", "by hand")]
    return (
        lists
        + installs
        + ["/machines/node-15/", "/machines/node-23/", f"/machines/node-01/{image}", f"/machines/node-14/{image}"]
    )


@pytest.mark.parametrize("mode", MODES)
def test_pages_of_a_whole_fleet(opened, axe, mode):
    made = scenes.whole_fleet()
    assert check(opened(group="admin", mode=mode), axe, paths_of_each_kind(made)) == []


def test_their_less_usual_forms(opened, axe):
    made = scenes.whole_fleet()
    paths = [
        "/?by=power",
        "/?by=cluster",
        "/machines/?q=nothing-like-it",
        "/machines/?state=failed",
        "/installs/?state=live",
    ]
    paths += [f"/installs/{made[name].pk}/" for name in ("booting", "cancelled", "inspection")]
    paths += [f"/machines/{name}/" for name in ("node-01", "node-12", "node-13", "node-14", "node-18")]
    assert check(opened(group="viewer"), axe, paths) == []


@pytest.mark.parametrize("mode", MODES)
def test_empty_pages(opened, axe, mode):
    assert check(opened(group="viewer", mode=mode), axe, EMPTY) == []


@pytest.mark.parametrize("mode", MODES)
def test_the_login_page(opened, axe, mode):
    page = opened("/login/", group=None, mode=mode)
    assert axe(page) == []
    page.fill("#id_username", "nobody")
    page.fill("#id_password", "wrong")
    page.click("button.primary")
    page.wait_for_selector("[role=alert]")
    assert axe(page) == []


def test_the_open_menu_and_the_question_on_a_phone(opened, axe):
    scenes.whole_fleet()
    page = opened("/machines/node-01/", mode="phone")
    page.click("#navbtn")
    assert page.locator("#side").is_visible()
    assert axe(page) == []
    page.click("#navbtn")
    page.click("button[value=off]")
    page.wait_for_selector("dialog[open]")
    assert axe(page) == []
