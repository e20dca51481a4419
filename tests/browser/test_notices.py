"""Notices as an admin uses them, in every mode, against a real receiver."""

import threading

import pytest

from installs.models import NoticeTarget
from installs.notices import outbox
from tests import installing, receivers, scenes
from tests.browser.conftest import MODES


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_wrong_with_the_pages(opened, axe, mode):
    page = opened("/notices/", group="admin", mode=mode)
    assert axe(page) == []
    target = NoticeTarget.objects.create(name="ops", address="http://[::1]:1/", is_private=True)
    NoticeTarget.objects.create(name="web team", kind="mail", address="web@example.org", is_enabled=False)
    scenes.failed(installing.make_machine(), installing.make_image())
    outbox.send_test(target, by="ada")
    outbox.deliver_due()
    for path in ("/notices/", f"/notices/{target.pk}/"):
        page.goto(path)
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_a_receiver_is_entered_tested_and_told(opened, axe):
    with receivers.http_receiver() as hook:
        page = opened("/notices/", group="admin")
        page.fill("input[name=name]", "ops")
        page.fill("input[name=address]", "ftp://nowhere")
        page.click("button:has-text('Add')")
        assert "must begin with http" in page.locator(".why").first.text_content()
        assert axe(page) == []
        page.fill("input[name=address]", hook.url)
        page.fill("input[name=secret]", "x" * 32)
        page.check("input[name=is_private]")
        page.click("button:has-text('Add')")
        page.click("button:has-text('Send a test')")
        page.wait_for_selector("text=On its way")
        thread = threading.Thread(target=_deliver)
        thread.start()
        page.wait_for_selector("text=Delivered")
        thread.join()
    assert hook.requests[0].headers["webhook-signature"].startswith("v1,")


def _deliver() -> None:
    from django.db import connection

    try:
        assert outbox.deliver_due()
    finally:
        connection.close()
