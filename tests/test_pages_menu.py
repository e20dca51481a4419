"""The menu shows each user what they may open, and nothing else."""

import re

import pytest

from dodaiweb import menu
from tests import scenes

SIDE = re.compile(r'<nav class="side".*?</nav>', re.S)


def links(client, user) -> list[str]:
    client.force_login(user)
    side = SIDE.search(client.get("/").content.decode())[0]
    return re.findall(r'<a href="([^"]+)"', side)


@pytest.mark.parametrize("group", ["viewer", "operator", "admin"])
def test_every_entry_that_is_shown_can_be_opened(client, db, group):
    found = links(client, scenes.make_user(group, is_staff=group == "admin"))
    assert found[:3] == ["/", "/machines/", "/installs/"]
    assert {address: client.get(address).status_code for address in found} == dict.fromkeys(found, 200)


def test_the_admin_is_shown_to_staff_only(client, db):
    assert "/admin/" in links(client, scenes.make_user("admin", is_staff=True))
    assert "/admin/" not in links(client, scenes.make_user("operator"))


def test_pages_that_do_not_exist_are_not_in_the_menu(rf, db, monkeypatch):
    monkeypatch.setattr(menu, "MENU", (menu.Section("x", (menu.Entry("no_such_page", "x", "x"),)),))
    assert menu.menu_for(scenes.make_user("admin")) == []
    assert menu.url_if("no_such_page") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("machines", "machines"), ("machine", "machines"), ("plan", "machines"), ("plan_many", "machines"),
        ("install_log", "installs"), ("image_upload", "images"), ("inventory_preview", "inventory_import"),
        ("login", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_page_belongs_to_an_entry(name, expected):
    assert menu.section_of(name) == expected


def test_the_page_names_its_language_and_hands_its_words_to_the_script(client, db):
    client.force_login(scenes.make_user("viewer"))
    html = client.get("/").content.decode()
    assert '<html lang="en">' in html
    assert '"live": "Live"' in html
    assert '"min": "# min"' in html
