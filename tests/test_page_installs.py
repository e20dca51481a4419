"""The list of installs: filters, counts, paging, CSV."""

import csv
import re
from datetime import timedelta

import pytest
from django.utils.timezone import localtime, now

from installs.models import Image, Install
from machines.models import Machine
from tests import installing
from tests.test_pages_content import text_of


@pytest.fixture
def installs(db) -> list[Install]:
    """Six of two images, by two people, on six machines, a day apart; the newest is today's."""
    debian, tiny = installing.make_image("debian"), installing.make_image("tiny")
    made = []
    for number, state in enumerate(("installed", "failed", "cancelled", "failed", "waiting", "installed"), start=1):
        made.append(Install.objects.create(
            machine=installing.make_machine(f"node-{number}", number=number), image=debian if number < 5 else tiny,
            method="file-tree", state=state, requested_by="ada" if number % 2 else "grace",
            cause={2: "digest", 4: "disk"}.get(number, ""), error="it broke" if state == "failed" else "",
            queued_at=now() - timedelta(days=6 - number), ended_at=None if state == "waiting" else now(),
            plan={"disk": {"serial": f"DISK{number}"}},
        ))  # fmt: skip
    Install.objects.create(machine=made[0].machine, method="inspect", state="installed", requested_by="ada")
    return made


def machines_in(response) -> list[str]:
    html = response.content.decode()
    return sorted(f"node-{number}" for number in range(1, 7) if f">node-{number}</a>" in html)


def with_days(asked: str, installs: list[Install]) -> str:
    """`day3` stands for the day three days before the newest: midnight may pass at any time."""
    newest = installs[-1].queued_at
    return re.sub(r"day(\d)", lambda ago: localtime(newest - timedelta(days=int(ago[1]))).date().isoformat(), asked)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ("", "123456"), ("state=failed", "24"), ("state=live", "5"), ("state=cancelled", "3"), ("cause=disk", "4"),
        ("by=grace", "246"), ("image=tiny", "56"), ("q=node-3", "3"), ("q=SN4", "4"), ("q=node 5", "5"),
        ("since=day2", "456"), ("until=day4", "12"), ("since=day3&until=day3", "3"),
        ("state=failed&by=grace&image=debian&cause=digest", "2"), ("state=failed&by=ada", ""),
        ("state=nonsense&since=nonsense&until=2026-99-99&q=%00&page=x", "123456"),
    ],
)  # fmt: skip
def test_filters_are_answered_by_the_database(operator, installs, asked, numbers):
    found = operator.get(f"/installs/?{with_days(asked, installs)}")
    assert machines_in(found) == [f"node-{number}" for number in numbers]


def test_an_install_is_found_by_its_number(operator, installs):
    assert machines_in(operator.get("/installs/", {"q": f"#{installs[2].pk}"})) == ["node-3"]
    assert machines_in(operator.get("/installs/", {"q": "#" + "9" * 40})) == []


def test_counts_are_of_what_the_other_filters_let_through(operator, installs):
    said = text_of(operator.get("/installs/?by=grace&state=failed"))
    assert "All 3 Under way 0 Installed 1 Failed 2 Cancelled 0" in said
    assert "Installed 3" in text_of(operator.get("/installs/?inspections=1"))


def test_what_nothing_matches_says_so(operator, installs):
    said = text_of(operator.get("/installs/?q=nothing-like-it"))
    assert "No install matches these filters Show all" in said
    assert "Export CSV" not in said


def test_the_filters_survive_paging(operator, installs):
    Install.objects.bulk_create(
        Install(machine=made.machine, image=made.image, method="file-tree", state="failed", requested_by="ada")
        for made in installs[:1] * 60
    )
    html = operator.get("/installs/?by=ada&state=failed").content.decode()
    assert "?by=ada&amp;state=failed&amp;page=2" in html
    assert "1–50 of 60" in html


def test_csv_has_what_the_filters_let_through_and_no_secret(operator, installs):
    Install.objects.filter(pk=installs[1].pk).update(error='=HYPERLINK("http://evil")', left_behind="off")
    response = operator.get("/installs/export.csv?state=failed")
    rows = list(csv.DictReader(response.content.decode().splitlines()))
    assert [(row["machine"], row["cause"], row["asked_by"]) for row in rows] == [
        ("node-4", "disk", "grace"), ("node-2", "digest", "grace"),
    ]  # fmt: skip
    assert rows[1]["error"] == '\'=HYPERLINK("http://evil")'
    assert rows[0]["asked_at"].endswith("+00:00")
    assert "attachment" in response["Content-Disposition"]


@pytest.mark.parametrize("page", ["/installs/?inspections=1", "/installs/export.csv"])
def test_more_installs_need_no_more_queries(operator, installs, page, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        operator.get(page)
    image = Image.objects.first()
    for number in range(10, 40):
        machine = Machine.objects.create(name=f"more-{number}", site=installs[0].machine.site)
        Install.objects.create(machine=machine, image=image, method="file-tree", state="waiting", requested_by="ada")
    with django_assert_max_num_queries(len(few)):
        operator.get(page)
