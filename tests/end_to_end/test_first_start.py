"""What a user meets at the very first start."""

import json
import re
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar


def test_the_first_start_tells_address_and_password(first_start) -> None:
    assert first_start.url == f"http://127.0.0.1:{first_start.dodai.ports[0]}"
    assert first_start.user == "admin"
    assert first_start.password


def test_three_practice_servers_are_inspected(dodai) -> None:
    machines = dodai.database(
        "[[m.name, m.state, bool(m.facts['memory_bytes']), m.facts['firmware'], [d.path for d in m.disks.all()]]"
        " for m in Machine.objects.order_by('name')]"
    )
    assert machines == [
        ["practice-1", "free", True, "bios", ["/dev/vda"]],
        ["practice-2", "free", True, "uefi", ["/dev/nvme0n1"]],
        ["practice-3", "free", True, "uefi", ["/dev/vda"]],
    ]


def test_inspected_machines_are_off_and_untouched(dodai) -> None:
    status = json.loads(dodai.must("lab", "status", "--json"))
    assert [machine["power"] for machine in status["machines"]] == ["off"] * 3


def test_the_page_says_that_they_are_ready(first_start) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    form = browser.open(f"{first_start.url}/login/", timeout=60).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token
    fields = {"csrfmiddlewaretoken": token[1], "username": first_start.user, "password": first_start.password}
    page = browser.open(f"{first_start.url}/login/", urllib.parse.urlencode(fields).encode(), timeout=60)
    text = page.read().decode()
    assert "Three practice servers are ready." in text
    assert "nothing here can touch your network" in text
