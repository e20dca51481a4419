"""Waves in a browser: from the list of machines to the last part, and what a phone shows of it."""

import pytest
from playwright.sync_api import expect

from installs.models import Install, Wave
from installs.waves import asking, turns
from installs.waves.asking import Rules
from machines.models import Machine
from tests import installing, scenes
from tests.browser.conftest import MODES
from tests.browser.test_accessible import check


@pytest.fixture
def machines(site) -> list[Machine]:
    return [installing.make_machine(f"node{number}", number=number) for number in range(1, 8)]


def test_a_wave_from_the_plan_to_its_canary(opened, machines):
    """An operator proposes it, an admin approves the exact list, the watchdog does the rest."""
    image = installing.make_image("debian-12")
    Machine.objects.filter(name="node3").update(state="in_use")
    page = opened(f"/many/install/?image={image.pk}&machines=" + ",".join(str(machine.pk) for machine in machines))
    page.get_by_role("link", name="As a wave…").click()
    page.get_by_label("Machines in a part").fill("3")
    page.get_by_role("button", name="Write it down").click()
    page.wait_for_url("**/waves/*/")
    expect(page.locator(".flash:visible")).to_contain_text("It waits for somebody who may approve waves")
    boss = opened(page.url, group="admin")
    expect(boss.locator("table")).to_contain_text("DISK7")
    boss.get_by_label("Type how many machines this is, 7:").fill("7")
    boss.get_by_label("Type its name:").fill("node3")
    boss.get_by_role("button", name="Approve: wipe 7 disks").click()
    expect(boss.locator(".sub")).to_contain_text("Next: Canaries, within seconds.")
    turns.take_all()
    expect(boss.locator("#counts")).to_have_text(
        "0 installed, 0 failed or cancelled, 1 under way, 6 to come, 0 skipped"
    )
    expect(page.locator(".sub")).to_contain_text("Next: Part 1, when all before it have ended.")
    page.get_by_role("button", name="Pause").click()
    expect(boss.locator(".sub")).to_contain_text("Nothing more begins until somebody lets it go on.")
    boss.get_by_role("button", name="Cancel the wave").click()
    boss.locator("#confirm-yes").click()
    expect(page.locator(".sub")).to_contain_text("Cancelled")
    assert (Install.objects.get().machine.name, Wave.objects.get().state) == ("node1", "cancelled")


@pytest.mark.parametrize("mode", MODES)
def test_they_are_accessible(opened, axe, machines, mode):
    image = installing.make_image("debian-12")
    proposed = asking.propose(machines, image, Rules(), by="ann")
    Machine.objects.filter(name="node2").update(protected=True)
    running = asking.propose(machines, image, Rules(canary_count=2, stop_at=1), by="ann")
    asking.approve(running, approved=asking.plans(running).digest, by="bea")
    turns.take_all()
    scenes.settle(Install.objects.first())
    ids = ",".join(str(machine.pk) for machine in machines)
    paths = [
        "/waves/", f"/waves/{proposed.pk}/", f"/waves/{running.pk}/", f"/waves/new/?image={image.pk}&machines={ids}",
        "/waves/new/", f"/many/install/?image={image.pk}&machines={ids}",
    ]  # fmt: skip
    assert check(opened(group="admin", mode=mode), axe, paths) == []
