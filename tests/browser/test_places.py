"""Clusters, VLANs and sightings in a browser."""

import pytest
from playwright.sync_api import expect

from machines import actions as machine_actions
from machines.models import Cluster, Machine, Sighting
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check


def test_an_unknown_machine_is_added_by_hand(opened):
    installing.main_site()
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address="10.0.0.9", serial="X1")
    page = opened("/sightings/")
    page.get_by_role("link", name="Add 3c:ec:ef:00:00:01").click()
    assert page.input_value("[name=serial]") == "X1"
    page.get_by_label("Name", exact=True).fill("node7")
    page.get_by_role("button", name="Add machine").click()
    page.wait_for_url("**/machines/node7/")
    assert Machine.objects.get().pxe_interface.mac == "3c:ec:ef:00:00:01"


def test_it_is_given_to_a_machine_of_the_list(opened):
    installing.make_machine()
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address="10.0.0.9")
    page = opened(f"/sightings/{Sighting.objects.get().pk}/")
    page.fill("#known", "node1")
    page.get_by_role("button", name="Add to it").click()
    expect(page.locator(".flash")).to_contain_text("is a card of node1 now")


@pytest.mark.parametrize("mode", MODES)
def test_they_are_accessible(opened, axe, mode):
    scenes.whole_fleet()
    cluster, seen = Cluster.objects.first(), Sighting.objects.first()
    paths = ["/clusters/", f"/clusters/{cluster.pk}/", "/vlans/", f"/vlans/{cluster.vlan_id}/", "/sightings/"]
    assert check(opened(mode=mode, group="admin"), axe, [*paths, f"/sightings/{seen.pk}/"]) == []
