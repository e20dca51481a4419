"""Buttons of a machine's page that take it from its owner, bring it back, erase it, or move it."""

import json
from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs.erasing import records
from installs.erasing.report import Judged
from installs.models import Erasure, Install
from machines.models import Cluster, Interface, Machine, Switch, Vlan
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fake_power():
    from machines.power import fake

    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture
def used() -> Machine:
    return installing.make_machine(state="in_use", image_name="debian-12", owner="ada")


@pytest.fixture
def released() -> Machine:
    return installing.make_machine(state="releasing", image_name="debian-12", erase_at=now() + timedelta(hours=1))


def test_release_asks_for_the_name_and_leads_to_how_it_goes(operator, used):
    html = operator.get("/machines/node1/").content.decode()
    assert 'data-opens="release"' in html
    assert "Minutes until it is erased (empty: 60)" in html
    answer = operator.post("/machines/node1/release/", {"typed": "node1", "keep_minutes": "15"})
    made = Install.objects.get()
    assert answer["Location"] == f"/installs/{made.pk}/"
    assert (made.method, made.plan["told"], made.requested_by) == ("release", {"keep_minutes": 15}, "operator")
    used.refresh_from_db()
    assert used.state == "releasing"
    assert "Being released, or brought back." in text_of(operator.get("/machines/node1/"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"typed": "node2"}, "Type the name of the machine, node1."), ({}, "Type the name of the machine, node1."),
        ({"typed": "node1", "keep_minutes": "soon"}, "Write minutes, or nothing."),
        ({"typed": "node1", "keep_minutes": "-1"}, "greater than or equal to 0"),
        ({"typed": "node1", "keep_minutes": "9" * 12}, "less than or equal to 100000"),
    ],
)  # fmt: skip
def test_a_wrong_form_stays_open_and_releases_nothing(operator, used, given, words):
    answer = operator.post("/machines/node1/release/", given)
    assert (answer.status_code, words in text_of(answer)) == (422, True)
    opened = answer.content.decode().partition('id="release"')[2].partition(">")[0]
    assert "hidden" not in opened.replace('data-keep="hidden"', "")
    assert not Install.objects.exists()


def test_a_released_machine_says_until_when_it_can_be_undone(operator, released):
    page = operator.get("/machines/node1/")
    assert "it can be undone; then all its disks are erased." in text_of(page)
    answer = operator.post("/machines/node1/undo-release/")
    made = Install.objects.get()
    assert (made.method, answer["Location"]) == ("undo-release", f"/installs/{made.pk}/")


def test_one_that_did_not_end_well_has_three_ways_out(operator, released):
    Machine.objects.update(erase_at=None)
    page = operator.get("/machines/node1/")
    assert "did not end well" in text_of(page)
    for way in ('data-opens="release"', 'data-opens="erase"', "/machines/node1/undo-release/"):
        assert way in page.content.decode()


def test_erasing_at_once(operator, released):
    installing.main_site()
    assert operator.post("/machines/node1/erase/", {"typed": "node"}).status_code == 422
    assert not Install.objects.exists()
    operator.post("/machines/node1/erase/", {"typed": "node1"})
    assert Install.objects.get().method == "erase"
    released.refresh_from_db()
    assert released.state == "erasing"
    assert "All its disks are being erased." in text_of(operator.get("/machines/node1/"))


@pytest.mark.parametrize("path", ["release", "erase", "undo-release"])
def test_what_cannot_be_done_is_said(operator, path):
    installing.make_machine()
    said = text_of(operator.post(f"/machines/node1/{path}/", {"typed": "node1"}, follow=True))
    assert "node1 is free: that cannot be done with it now." in said
    assert not Install.objects.exists()


def test_a_protected_machine_has_none_of_these_buttons(operator, used):
    Machine.objects.update(protected=True)
    assert 'data-opens="release"' not in operator.get("/machines/node1/").content.decode()
    said = text_of(operator.post("/machines/node1/release/", {"typed": "node1"}, follow=True))
    assert "node1 is protected" in said
    assert not Install.objects.exists()


def test_a_viewer_has_no_button_and_no_right(client, used):
    client.force_login(scenes.make_user("viewer"))
    assert 'id="release"' not in client.get("/machines/node1/").content.decode()
    for path in ("release", "erase", "undo-release", "cluster"):
        assert client.post(f"/machines/node1/{path}/", {"typed": "node1"}).status_code == 403
    assert not Install.objects.exists()


def test_a_machine_whose_ports_are_entered_is_moved_with_them(operator, used):
    web = Cluster.objects.create(name="web", vlan=Vlan.objects.create(vid=210, name="web"))
    tor = Switch.objects.create(name="tor", driver="fake", vlans="210", ports="p1")
    Interface.objects.create(machine=used, mac="52:54:00:0f:00:01", switch=tor, switch_port="p1")
    answer = operator.post("/machines/node1/cluster/", {"cluster": web.pk})
    made = Install.objects.get()
    assert (made.method, answer["Location"]) == ("move", f"/installs/{made.pk}/")
    assert "Move to another cluster" in text_of(operator.get(answer["Location"]))


def test_another_one_is_a_member_at_once(operator, used):
    web = Cluster.objects.create(name="web")
    said = text_of(operator.post("/machines/node1/cluster/", {"cluster": web.pk}, follow=True))
    assert "node1 is in the cluster web now." in said
    assert not Install.objects.exists()
    assert "node1 is in no cluster now." in text_of(operator.post("/machines/node1/cluster/", {}, follow=True))


def record(machine: Machine, *, problem: str = "") -> Erasure:
    install = Install.objects.create(
        machine=machine, method="erase", state="installed", plan={"told": {}}, plan_digest="ab" * 32, requested_by="ada"
    )
    disk = {"serial": "DISK1", "wwn": "", "size_bytes": 100}
    records.keep(install, [Judged(disk, [1, 2, 3], problem, {"method": "nvme-format"})])
    return Erasure.objects.get(install=install)


def test_records_of_erased_disks_stand_on_the_page(operator, used):
    record(used)
    said = text_of(operator.get("/machines/node1/"))
    assert "DISK1 Erased Purge by NIST 800-88, nvme-format" in said
    assert "3 places read back" in said


def test_a_disk_that_is_not_erased_says_so(operator, used):
    record(used, problem="sample 2 was still there")
    said = text_of(operator.get("/machines/node1/"))
    assert "DISK1 Not erased nvme-format" in said
    assert "sample 2 was still there" in said


def test_a_record_that_was_altered_proves_nothing(operator, used):
    found = record(used, problem="sample 2 was still there")
    found.text = json.dumps(json.loads(found.text) | {"proven": True, "problem": "", "level": "Purge"})
    found.is_proven = True
    found.save()
    said = text_of(operator.get("/machines/node1/"))
    assert "altered: its signature does not fit" in said
    assert "Purge" not in said


def test_an_unerased_machine_that_is_free_says_so_and_can_be_erased(operator):
    machine = installing.make_machine(unerased=True)
    page = operator.get("/machines/node1/")
    assert "Its disks hold what somebody else must not see: nobody gets it by a request before they are erased." in (
        text_of(page)
    )
    assert 'data-opens="erase"' in page.content.decode()
    operator.post("/machines/node1/erase/", {"typed": "node1"})
    machine.refresh_from_db()
    assert machine.state == "erasing"


def test_an_erased_one_has_neither(operator):
    installing.make_machine()
    page = operator.get("/machines/node1/")
    assert "must not see" not in text_of(page)
    assert 'data-opens="erase"' not in page.content.decode()


@pytest.mark.parametrize("method", ["release", "erase", "hand-over"])
def test_what_takes_a_machine_is_not_tried_again_by_a_click(operator, used, method):
    failed = Install.objects.create(
        machine=used, method=method, state="failed", plan={"told": {}}, plan_digest="ab" * 32, requested_by="ada",
        cause="site-refused", ended_at=now(),
    )  # fmt: skip
    for address in (f"/installs/{failed.pk}/", "/"):
        html = operator.get(address).content.decode()
        assert f"/installs/{failed.pk}/retry/" not in html
        assert 'href="/machines/node1/"' in html
    operator.post(f"/installs/{failed.pk}/retry/")
    used.refresh_from_db()
    assert (used.state, Install.objects.count()) == ("in_use", 1)


def test_only_the_newest_attempt_can_be_tried_again(operator, used):
    first, second = (
        Install.objects.create(
            machine=used, method="move", state="failed", plan={"told": {}}, plan_digest="ab" * 32, requested_by="ada"
        )
        for _ in range(2)
    )
    assert f"/installs/{first.pk}/retry/" not in operator.get(f"/installs/{first.pk}/").content.decode()
    assert f"/installs/{second.pk}/retry/" in operator.get(f"/installs/{second.pk}/").content.decode()
