"""The list of machines: filters, search, sort, pages, the file for spreadsheets, and what "select all" means."""

import csv
import io
import re

import pytest
from django.utils.timezone import now

from installs.models import Install
from machines import many
from machines.models import Bmc, Cluster, Interface, Machine, Site
from tests import installing, scenes
from tests.test_pages_content import text_of
from tests.test_pages_fleet import failures


@pytest.fixture
def fleet(operator) -> list[Machine]:
    web = Cluster.objects.create(name="kyoto-web")
    machines = []
    for number in range(1, 8):
        machine = installing.make_machine(f"node{number}", number=number, rack=f"R{number % 3}", unit=number)
        Bmc.objects.filter(machine=machine).update(host=f"10.99.0.{number}")
        machines.append(machine)
    Machine.objects.filter(name__in=["node1", "node2"]).update(cluster=web, state="in_use", image_name="debian-12")
    Interface.objects.filter(machine=machines[4]).update(address="192.0.2.77/24")
    Machine.objects.filter(name="node7").update(site=Site.objects.create(name="practice", is_practice=True))
    return machines


def names(client, asked: str) -> list[str]:
    response = client.get(f"/machines/?{asked}")
    assert response.status_code == 200
    return re.findall(r'<th scope="row"><a href="/machines/([^/]+)/', response.content.decode())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("q=10.99.0.3", ["node3"]), ("q=192.0.2.77", ["node5"]), ("q=kyoto", ["node1", "node2"]),
        ("q=5254.0000.0004", ["node4"]), ("q=52-54-00-00-00-04", ["node4"]), ("q=SN6", ["node6"]), ("q=sn6", ["node6"]),
        ("q=R2", ["node2", "node5"]), ("rack=R2", ["node2", "node5"]), ("rack=-", []), ("q=R2 kyoto", ["node2"]),
        ("kind=practice", ["node7"]), ("kind=real&q=node7", []), ("kind=other", [f"node{n}" for n in range(1, 8)]),
        ("cluster=kyoto-web", ["node1", "node2"]), ("state=in_use&sort=-name", ["node2", "node1"]),
        ("q=debian", ["node1", "node2"]), ("cause=silent", []), ("size=25&page=2", [f"node{n}" for n in range(1, 8)]),
    ],
)  # fmt: skip
def test_what_the_filters_leave(operator, fleet, asked, expected):
    assert names(operator, asked) == expected


def test_machines_that_failed_are_found_by_their_cause(operator):
    failures(2, "silent")
    failures(1, "digest", first=3)
    assert names(operator, "state=failed") == ["node1", "node2", "node3"]
    assert names(operator, "state=failed&cause=silent") == ["node1", "node2"]
    assert names(operator, "cause=digest") == ["node3"]
    assert "fell silent" in text_of(operator.get("/machines/"))


def test_a_page_is_as_long_as_asked(operator):
    for number in range(1, 31):
        installing.make_machine(f"node{number:02}", number=number)
    assert len(names(operator, "size=25")) == 25
    assert len(names(operator, "size=25&page=2")) == 5
    assert len(names(operator, "size=7")) == 30, "another size than those on offer is the usual one"


def test_reinstalling_is_in_the_row_menu_only(operator, fleet):
    html = operator.get("/machines/?q=node1").content.decode()
    row = html.split('<tr id="m')[1].split("</tr>")[0]
    assert "Reinstall" not in row
    assert "/machines/node1/install/" not in row
    assert "Reinstall…" in html.split('id="row-menu"')[1].split("</nav>")[0]


def test_a_viewer_can_select_nothing(client, db):
    installing.make_machine()
    client.force_login(scenes.make_user("viewer"))
    html = client.get("/machines/").content.decode()
    assert 'type="checkbox"' not in html
    assert 'id="chosen"' not in html
    assert "Reinstall" not in html


def test_select_all_means_all_that_match_and_says_who_is_in_use(operator, fleet):
    answer = operator.get("/machines/ids.json?q=node&kind=real").json()
    assert answer["total"] == 6
    assert [used for _, used in answer["machines"]] == [True, True, False, False, False, False]
    assert [pk for pk, _ in answer["machines"]] == [machine.pk for machine in fleet[:6]]


def test_select_all_has_a_limit(operator, fleet, monkeypatch):
    monkeypatch.setattr(many, "LIMIT", 3)
    answer = operator.get("/machines/ids.json").json()
    assert (len(answer["machines"]), answer["total"]) == (3, 7)


def exported(client, asked: str = "") -> list[list[str]]:
    response = client.get(f"/machines/list.csv?{asked}")
    assert response["Content-Type"].startswith("text/csv")
    assert "attachment" in response["Content-Disposition"]
    return list(csv.reader(io.StringIO(response.content.decode())))


def test_the_file_holds_what_the_filters_leave(operator, fleet):
    head, *rows = exported(operator, "cluster=kyoto-web&sort=-name")
    assert [row[0] for row in rows] == ["node2", "node1"]
    found = dict(zip(head, rows[1], strict=True))
    assert (found["State"], found["Image"], found["Rack"], found["MAC"], found["BMC"]) == (
        "In use", "debian-12", "R1", "52:54:00:00:00:01", "10.99.0.1",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_taken_for_a_formula(operator, text):
    installing.make_machine(owner=text, rack=text)
    _, row = exported(operator)
    assert sum(cell.startswith("'") for cell in row) == 2
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_the_list_and_its_file_need_as_many_queries_at_any_size(operator):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> dict[str, int]:
        counted = {}
        for path in ("/machines/", "/machines/?q=node&sort=-cluster", "/machines/list.csv", "/machines/ids.json"):
            with CaptureQueriesContext(connection) as seen:
                assert operator.get(path).status_code == 200
            counted[path] = len(seen)
        return counted

    failures(1, "silent")
    scenes.until_copy(installing.make_machine("busy", number=90), installing.make_image("tiny"))
    few = queries()
    failures(4, "digest", first=10)
    scenes.until_copy(installing.make_machine("busy2", number=91), installing.make_image("other"))
    Cluster.objects.create(name="kyoto-web")
    Machine.objects.filter(name="node10").update(cluster=Cluster.objects.get())
    assert queries() == few


def test_an_empty_list_leads_to_connecting_servers(operator):
    assert "There are no machines yet." in text_of(operator.get("/machines/"))
    assert "No machine matches these filters." in text_of(operator.get("/machines/?q=x"))


def test_a_count_is_coloured_only_where_there_is_something(operator):
    installing.make_machine()
    chips = operator.get("/machines/").content.decode()
    assert 'class="chip" data-s="free"' in chips
    assert 'class="chip" data-s="failed"' not in chips
    assert 'class="chip" data-s="failed"' not in operator.get("/installs/").content.decode()
    scenes.failed(installing.make_machine("node2", number=2), installing.make_image())
    assert 'class="chip" data-s="failed"' in operator.get("/machines/").content.decode()
    assert 'class="chip" data-s="failed"' in operator.get("/installs/").content.decode()


def test_what_runs_late_is_marked(operator):
    from datetime import timedelta

    from tests.test_pages_fleet import done

    image = installing.make_image()
    done(installing.make_machine("node2", number=2), image, 60)
    install, _ = scenes.until_copy(installing.make_machine(), image)
    assert "data-late" not in operator.get("/machines/").content.decode()
    Install.objects.filter(pk=install.pk).update(queued_at=now() - timedelta(minutes=5))
    assert 'data-late title="late: usually 1 min"' in operator.get("/machines/").content.decode()
