"""What an open page does by itself, and what it leaves alone meanwhile."""

from playwright.sync_api import expect

from dodaiweb.asgi import application
from installs.models import Image, Install
from machines import actions as machine_actions
from machines import doorbell
from machines.models import Machine
from machines.power.base import Power
from tests import installing, scenes

LIVE = "#live[data-on='1']"


def update(page, machine: Machine) -> None:
    """Tell the page of a change of the machine, and wait until it has taken it up."""
    page.wait_for_selector(LIVE)
    with page.expect_response(lambda answer: answer.request.headers.get("dodai-fragment") == "1") as answered:
        doorbell._publish({"install": None, "machine": machine.pk})
    assert answered.value.status == 200
    page.wait_for_timeout(300)


def mark(page) -> None:
    """Leave a trace that a reload would wipe out."""
    page.evaluate("window.unreloaded = true")


def assert_not_reloaded(page) -> None:
    assert page.evaluate("window.unreloaded") is True


def readers() -> int:
    return len(application._hub._readers) if application._hub else 0


def test_progress_arrives_without_a_reload(opened):
    install, server = scenes.until_installer(installing.make_machine(), installing.make_image())
    page = opened(f"/installs/{install.pk}/", hears_only=True)
    page.wait_for_selector(LIVE)
    mark(page)
    expect(page.locator(".hero strong")).to_have_text("Installer running")
    server.ask_grant()
    server.say("progress", {"phase": "copy", "done_bytes": 41_000_000, "total_bytes": 62_000_000})
    expect(page.locator(".hero strong")).to_have_text("Copying files")
    expect(page.locator(".hero")).to_contain_text("41 of 62 MB")
    server.client.post("/event/log", "a line of the log\n", "text/plain", headers=server._headers())
    expect(page.locator("#log")).to_contain_text("a line of the log")
    assert_not_reloaded(page)


def test_from_the_plan_to_installed(opened):
    machine = installing.make_machine()
    installing.make_image("debian-12")
    installing.make_image("tiny")
    page = opened("/machines/node1/")
    page.get_by_role("link", name="Install", exact=True).click()
    page.get_by_text("tiny", exact=True).click()
    page.wait_for_url("**/install/?image=*")
    expect(page.locator(".wipe")).to_contain_text("DISK1")
    page.get_by_role("button", name="Wipe DISK1 and install tiny").click()
    page.wait_for_url("**/installs/*/")
    page.wait_for_selector(LIVE)
    mark(page)
    install = Install.objects.get()
    assert install.image == Image.objects.get(name="tiny")
    expect(page.locator(".hero strong")).to_have_text("Waiting in the queue")
    finish(machine)
    expect(page.locator(".hero strong")).to_have_text("Installed")
    expect(page.locator(".hero")).to_contain_text("the OS itself called")
    assert_not_reloaded(page)


def finish(machine: Machine) -> None:
    server = scenes.server_of(machine)
    scenes.work()
    server.boot()
    server.say("install")
    scenes.work()
    granted = server.ask_grant()
    server.say("progress", {"phase": "copy", "done_bytes": 1, "total_bytes": 2})
    server.say("install_reboot")
    scenes.work()
    server.finish_first_boot(granted)
    scenes.work()


def test_typing_choosing_and_scrolling_survive_an_update(opened):
    install, server = scenes.until_installer(installing.make_machine(), installing.make_image())
    server.client.post("/event/log", "line\n" * 200, "text/plain", headers=server._headers())
    page = opened(f"/installs/{install.pk}/")
    page.wait_for_selector(LIVE)
    page.uncheck("[data-follows]")
    page.evaluate("document.getElementById('log').scrollTop = 100")
    page.fill("#gs", "half a na")
    server.client.post("/event/log", "the newest line\n", "text/plain", headers=server._headers())
    expect(page.locator("#log")).to_contain_text("the newest line")
    assert page.input_value("#gs") == "half a na"
    assert page.evaluate("document.activeElement.id") == "gs"
    assert not page.is_checked("[data-follows]")
    assert page.evaluate("document.getElementById('log').scrollTop") == 100


def test_a_followed_log_stays_at_its_end(opened):
    install, server = scenes.until_installer(installing.make_machine(), installing.make_image())
    page = opened(f"/installs/{install.pk}/")
    page.wait_for_selector(LIVE)
    for number in range(2):
        server.client.post("/event/log", f"line {number}\n" * 100, "text/plain", headers=server._headers())
        expect(page.locator("#log")).to_contain_text(f"line {number}")
    assert page.evaluate("(l => l.scrollHeight - l.scrollTop - l.clientHeight)(document.getElementById('log'))") < 5


def test_power_of_a_machine_arrives_in_the_list_and_focus_stays(opened):
    machine = installing.make_machine()
    page = opened("/machines/", hears_only=True)
    page.wait_for_selector(LIVE)
    page.focus("tbody th a")
    from datetime import timedelta

    for power in (Power.ON, Power.OFF, Power.ON):  # one may be seen by the look when the stream begins
        machine_actions.record_power(machine, power, next_in=timedelta())
        expect(page.locator(f"tr .pw[data-p={power}]")).to_have_count(1)
    assert page.evaluate("document.activeElement.textContent") == "node1"


def test_two_tabs_share_one_stream_and_hidden_ones_have_none(opened):
    installing.make_machine()
    one = opened("/")
    two = opened("/machines/", same_as=one)
    one.wait_for_selector(LIVE)
    two.wait_for_selector(LIVE)
    assert readers() == 1
    for page in (one, two):
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    for _ in range(300):
        if not readers():
            break
        one.wait_for_timeout(100)
    assert readers() == 0


def test_ages_go_on_by_themselves(opened):
    from datetime import timedelta

    machine_actions.record_power(installing.make_machine(), Power.ON, next_in=timedelta())
    page = opened("/machines/node1/")
    page.wait_for_selector(LIVE)
    age = page.locator("section:has(#power-title) time[data-ago]").first
    for _ in range(3):  # one of these may be by the update that a page gets when its stream begins
        expect(age).not_to_have_text(age.inner_text())


def test_who_was_logged_out_is_led_to_the_login_page(opened):
    from django.contrib.sessions.models import Session

    machine = installing.make_machine()
    page = opened("/machines/node1/")
    page.wait_for_selector(LIVE)
    Session.objects.all().delete()
    doorbell._publish({"install": None, "machine": machine.pk})
    page.wait_for_url("**/login/?next=/machines/node1/")
