"""The check-up and Test BMC, seen and pressed in a browser."""

import pytest
from django.utils.timezone import now

from dodaiweb import checkups
from dodaiweb.doctor import service, words
from machines import bmc_words, jobs
from machines.models import Bmc, Checkup
from tests import installing
from tests.browser.conftest import MODES
from tests.machines.bmcs import running_bmc

ANY_VALUES = dict.fromkeys(
    "check error kind count waiting paths names free_gib folder site url name interface reason servers boot found ours "
    "network version packages minutes address text suite user privilege power model firmware seen known what "
    "machine".split(),
    "http://dodai.example/a-long-word-without-any-place-to-break-it-0123456789abcdef",
) | {"problem": "loopback", "values": {"url": "http://127.0.0.1:8001"}}  # fmt: skip


def findings(table) -> list[dict]:
    return [{"code": code, "values": ANY_VALUES} for code in table]


def machine_with_a_report():
    machine = installing.make_machine(driver="redfish")
    report = {"findings": findings(bmc_words.WORDS)}
    Bmc.objects.update(host="10.0.0.7", username="admin", tested_at=now(), test_report=report)
    return machine


@pytest.mark.parametrize("mode", MODES)
def test_every_finding_is_readable(opened, axe, mode):
    machine_with_a_report()
    Checkup.objects.create(asked_by="ada", ended_at=now(), findings=findings(words.WORDS))
    page = opened(group="admin", mode=mode)
    for path in ("/doctor/", "/machines/node1/"):
        page.goto(path)
        page.wait_for_load_state("load")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_was_looked_at_yet(opened, axe, mode):
    page = opened("/doctor/", group="operator", mode=mode)
    assert axe(page) == []
    assert page.get_by_text("Nobody has asked yet").is_visible()


def test_a_check_up_is_asked_for_and_shown(opened, monkeypatch):
    monkeypatch.setattr(checkups, "CHECKS", (service.queue, service.database))
    page = opened("/doctor/", group="operator")
    page.get_by_role("button", name="Check everything").click()
    page.get_by_text("A check-up is under way").wait_for()
    assert page.get_by_role("button", name="Check everything").is_disabled()
    checkups.run_due()
    page.reload()
    assert page.get_by_text("No worker runs.").is_visible()
    assert page.get_by_role("heading", name="What is well").is_visible()


def test_a_bmc_is_tested_from_its_machines_page(opened):
    machine = installing.make_machine(driver="ipmi")
    with running_bmc() as (_, endpoint):
        Bmc.objects.update(host="127.0.0.1", port=endpoint.port, username="admin")
        bmc = Bmc.objects.get(machine=machine)
        bmc.set_password(endpoint.password)
        bmc.save()
        page = opened("/machines/node1/", group="operator")
        page.get_by_role("button", name="Test BMC").click()
        page.get_by_text("It is being tested.").wait_for()
        jobs.run_power_commands()
        page.reload()
    assert page.get_by_text("Cipher suite 3 (SHA-1, AES) works and is used").is_visible()
    page.get_by_text("things work").click()
    assert page.get_by_text("The user admin logs in").is_visible()


def test_a_new_certificate_is_accepted_only_after_a_question(opened):
    machine_with_a_report()
    page = opened("/machines/node1/", group="admin")
    page.get_by_role("button", name="Accept the new certificate").click()
    page.locator("dialog[open]").get_by_text("Do so only if you know why it changed").wait_for()
    page.get_by_role("button", name="Keep as it is").click()
    assert Bmc.objects.get().machine.power_commands.count() == 0
