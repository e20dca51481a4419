"""Asking for machines, the pool, cabling and releases in a browser, and what a phone shows of them."""

from datetime import timedelta

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from installs.allocation import asking, turns
from installs.models import Allocation, Install, PoolLevel
from machines.models import Machine, PortMove
from tests import installing, pooling
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check
from tests.browser.test_live import update


@pytest.fixture
def asked(site) -> asking.Asked:
    return pooling.wanted()


@pytest.fixture
def fleet(asked) -> list[Machine]:
    return pooling.cabled_fleet(asked)


def test_from_the_form_to_the_last_machine(opened, asked, fleet):
    """The plan follows what is chosen, one press asks for it, and the bar moves as machines become ready."""
    page = opened(f"/clusters/{asked.cluster.pk}/")
    page.locator("main .head").get_by_role("link", name="Ask for machines").click()
    page.get_by_label("Machine type").select_option("m1")
    page.get_by_label("Image").select_option("debian-12")
    expect(page.locator("#plan-title")).to_contain_text("1 is installed")
    page.get_by_label("Machines", exact=True).fill("2")
    expect(page.locator("#plan-title")).to_contain_text("2 are installed")
    expect(page.locator(".whynot")).to_contain_text("node5")
    page.get_by_role("button", name="Install 2 machines").click()
    page.wait_for_url("**/allocations/*/")
    bar = page.locator(".whole-bar progress")
    begun = int(bar.get_attribute("value") or 0)
    pooling.succeed(Install.objects.get(machine__name="node1"))
    turns.take_all()
    expect(page.locator("#headline")).to_contain_text("1 of 2 machines are ready")
    assert int(bar.get_attribute("value") or 0) > begun
    pooling.succeed(Install.objects.get(machine__name="node2"))
    turns.take_all()
    expect(page.locator(".sub .st")).to_have_text("Done")
    expect(bar).to_have_attribute("value", "100")
    assert Allocation.objects.get().state == "done"


def test_who_was_faster_leads_to_another_plan(opened, asked, fleet):
    page = opened(pooling.address_of(asked))
    expect(page.locator("#mnode1, tbody tr").first).to_contain_text("node1")
    Machine.objects.filter(name="node1").update(reserved_for="bob")
    page.get_by_role("button", name="Install 2 machines").click()
    expect(page.locator(".flash.error")).to_contain_text("Other machines are free now")
    update(page, fleet[0])
    expect(page.locator(".flash.error")).to_be_visible()
    page.get_by_role("button", name="Install 2 machines").click()
    page.wait_for_url("**/allocations/*/")
    assert set(Install.objects.values_list("machine__name", flat=True)) == {"node2", "node3"}


def test_a_level_that_is_refused_keeps_its_words_through_an_update(opened, asked, fleet):
    page = opened("/pool/")
    page.get_by_label("Machine type").select_option("m1")
    page.get_by_label("Image").select_option("debian-12")
    page.get_by_label("Warm machines").fill("201")
    page.locator("#new-level form").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Keep them warm").click()
    wrong = page.locator("#new-level .why")
    expect(wrong).to_contain_text("200")
    update(page, fleet[0])
    expect(wrong).to_contain_text("200")
    expect(page.get_by_label("Warm machines")).to_have_value("201")
    assert not PoolLevel.objects.exists()


def test_a_port_is_confirmed_where_it_is_shown(opened, fleet):
    page = opened("/cabling/")
    page.get_by_text("Cannot be done…").click()
    page.get_by_label("Why not?").fill("it is glued in")
    page.get_by_role("button", name="It cannot be done").click()
    expect(page.locator(".flash.success")).to_contain_text("stays where it is")
    assert PortMove.objects.get().problem == "it is glued in"


def test_a_machine_is_released_by_its_name(opened, fleet):
    page = opened("/machines/node6/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Release…").click()
    page.get_by_label("Type its name, node6").fill("node6")
    page.locator("#release").get_by_role("button", name="Release").click()
    page.wait_for_url("**/installs/*/")
    assert Install.objects.get().method == "release"


@pytest.mark.parametrize("mode", MODES)
def test_they_are_accessible(opened, axe, asked, fleet, mode):
    paths = pooling.some_of_each(asked, fleet)
    page = opened(group="admin", mode=mode)
    assert check(page, axe, paths) == []
    page.goto("/machines/node6/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Release…").click()
    assert axe(page) == []


@pytest.mark.parametrize("mode", MODES)
def test_the_forms_of_decisions_are_accessible(opened, axe, site, mode):
    """Each of them open, in the state in which it can be."""
    states = {"free": ("set_aside", "mark_broken", "adopt", "reserve"), "in_use": ("release",), "releasing": ("erase",)}
    page = opened(group="admin", mode=mode)
    for number, (state, verbs) in enumerate(states.items(), start=1):
        installing.make_machine(f"node{number}", number=number, state=state, erase_at=now() + timedelta(hours=1))
        page.goto(f"/machines/node{number}/")
        for verb in verbs:
            page.locator("details.menu summary").click()
            page.locator(f"[data-opens={verb}]").click()
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("mode", ["light", "phone"])
def test_empty_pages_are_accessible(opened, axe, site, mode):
    paths = ["/allocations/", "/allocations/new/", "/pool/", "/cabling/"]
    assert check(opened(group="operator", mode=mode), axe, paths) == []
