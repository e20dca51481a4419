"""The language is changed on the page and stays; scripts speak it too."""

import pytest

from tests import scenes


def test_to_japanese_and_back(opened):
    scenes.whole_fleet()
    page = opened("/machines/")
    assert page.get_attribute("html", "lang") == "en"
    page.click("button[lang=ja]")
    page.wait_for_selector("html[lang=ja]")
    assert page.locator("nav#side").get_by_text("マシン", exact=True).is_visible()
    page.goto("/installs/")
    assert page.get_attribute("html", "lang") == "ja"
    page.click("button[lang=en]")
    page.wait_for_selector("html[lang=en]")
    assert page.url.endswith("/installs/")


def test_times_that_go_on_by_themselves_speak_it_too(opened):
    scenes.whole_fleet()
    page = opened("/machines/")
    page.click("button[lang=ja]")
    page.wait_for_selector("html[lang=ja]")
    page.wait_for_timeout(1200)  # the script has written every time anew at least once
    said = page.locator("time[data-ago]").all_text_contents()
    assert said
    assert all(text.split(" ")[1] in ("秒", "分", "時間", "日") for text in said)
    assert page.locator("#live").text_content() in ("ライブ", "接続中")


def test_the_login_page_has_the_choice_too(opened):
    page = opened("/login/", group=None)
    page.click("button[lang=ja]")
    page.wait_for_selector("html[lang=ja]")
    assert page.locator("button.primary").text_content().strip() == "ログイン"


@pytest.mark.parametrize("mode", ["light", "dark", "phone"])
def test_japanese_pages_are_as_accessible_and_as_narrow(opened, axe, site, mode):
    made = scenes.whole_fleet()
    page = opened("/login/", group="admin", mode=mode)
    page.context.add_cookies([{"name": "dodai_language", "value": "ja", "url": site}])
    image = made["failed"].image_id
    paths = ["/", "/machines/", "/installs/", "/notices/", "/machines/node-15/", f"/installs/{made['failed'].pk}/"]
    for path in [*paths, f"/machines/node-01/install/?image={image}"]:
        page.goto(path)
        assert page.get_attribute("html", "lang") == "ja"
        assert [f"{path} {violation}" for violation in axe(page)] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], path
