"""Activity: everything that people did, from each place that keeps it."""

import re
from datetime import timedelta

import pytest
from django.utils.timezone import localtime, now

from dodaiweb import activity
from installs import actions
from installs.models import ImageImport, Install, NoticeTarget
from machines import actions as machine_actions
from machines import bmc_test, cabling
from machines.models import Bmc, Cluster, Machine, PowerCommand, Sighting, Switch
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power")


def rows(client, **asked) -> list[str]:
    """Who, what, machine and kind of each row, as texts."""
    html = client.get("/activity/", asked).content.decode()
    lines = html.split("<tbody>")[-1].split("<tr>")[1:]
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line, re.S)[1:] for line in lines]
    return [" | ".join(" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row) for row in cells]


def deeds_of(client) -> list[str]:
    """Without the logins."""
    return [row for row in rows(client) if "Logins" not in row]


def test_nobody_did_anything_yet(operator):
    assert "Nobody did anything yet" in text_of(operator.get("/activity/"))


def test_installs_retries_and_cancels_name_who_asked(operator):
    machine, image = installing.make_machine(), installing.make_image()
    first = scenes.start(machine, image)
    actions.cancel(first, by="grace")
    scenes.settle(first)
    with scenes.named_ramdisk():
        again = actions.retry(first, by="grace")
    assert rows(operator) == [
        f"grace | asked to install debian, again after #{first.pk} | node1 | Installs",
        f"grace | cancelled #{first.pk} | node1 | Installs",
        "ada | asked to install debian | node1 | Installs",
    ]
    assert f'href="/installs/{again.pk}/"' in operator.get("/activity/").content.decode()


def test_power_commands_say_when_they_failed(operator):
    operator_asked = machine_actions.request_power(installing.make_machine(), "off", by="ada")
    assert rows(operator) == ["ada | asked to switch off | node1 | Power"]
    PowerCommand.objects.filter(pk=operator_asked.pk).update(state="failed", message="the BMC does not answer")
    assert rows(operator) == ["ada | asked to switch off, which failed: the BMC does not answer | node1 | Power"]


def test_ports_that_are_moved_and_what_people_say_of_them(operator):
    card = installing.make_machine().interfaces.get()
    card.switch, card.switch_port = Switch.objects.create(name="patch", vlans="210", ports="p1"), "p1"
    card.save()
    cabling.move_cards({card: 210}, by="install 7")
    asked = "install 7 | asked to move port p1 of patch into VLAN 210: "
    assert rows(operator) == [asked + "waits for an operator | node1 | Switch ports"]
    [first] = cabling.open_moves(card.machine_id)
    cabling.confirm(first.pk, by="grace")
    assert rows(operator, kind="ports") == [
        "grace | moved port p1 of patch into VLAN 210 by hand | node1 | Switch ports",
        asked + "moved | node1 | Switch ports",
    ]
    cabling.move_cards({card: None}, by="ada")
    [second] = cabling.open_moves(card.machine_id)
    cabling.cannot(second.pk, "<b>it is glued in", by="grace")
    assert rows(operator, kind="ports")[:2] == [
        "grace | cannot move port p1 of patch out of every VLAN: &lt;b&gt;it is glued in | node1 | Switch ports",
        "ada | asked to move port p1 of patch out of every VLAN: not moved | node1 | Switch ports",
    ]
    assert rows(operator, kind="ports", machine="node2") == []


def test_what_people_do_on_a_machines_page_is_kept(operator):
    installing.make_machine()
    operator.post("/machines/node1/set-aside/", {"why": "fan 3"})
    operator.post("/machines/node1/take-back/")
    operator.post("/machines/node1/notes/", {"notes": "lid", "was": re_was(operator)})
    found = rows(operator, kind="inventory")
    assert found == [
        "operator | notes nothing → lid | node1 | Inventory",
        "operator | state Set aside → Free | node1 | Inventory",
        "operator | state Free → Set aside: fan 3 | node1 | Inventory",
    ]
    said = text_of(operator.get("/machines/node1/"))
    assert re.search(r"Changed by operator \d s ago", said)
    assert "Changes of the inventory" in said


def re_was(client) -> str:
    return re.search(r'name="was" value="(\w+)"', client.get("/machines/node1/").content.decode())[1]


def test_what_belongs_to_no_machine_is_named(admin):
    admin.post("/admin/machines/vlan/add/", {"vid": "30", "name": "storage"})
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBbZ0YhVYq3iJxyxmMTq1H5rJ5yq3m6cB7Jx9o0aAbCd ada"
    admin.post("/admin/installs/sshkey/add/", {"name": "ada", "account": "root", "public_key": key})
    found = deeds_of(admin)
    assert "admin | VLAN storage: entered into the inventory | – | Inventory" in found
    assert "admin | added SSH key ada | – | Users and settings" in found
    assert len(found) == 2
    ImageImport.objects.create(name="debian-12", source="url", location="http://user:secret@host/x", requested_by="ada")
    assert "ada | asked to import the image debian-12 | – | Images" in rows(admin)
    assert "secret" not in admin.get("/activity/").content.decode()


def test_failed_logins_are_for_those_who_manage_users(client, db):
    client.post("/login/", {"username": "mallory", "password": "guess-1"}, REMOTE_ADDR="10.9.8.7")
    client.post("/login/", {"username": "mallory", "password": "guess-2"}, REMOTE_ADDR="10.9.8.7")
    client.force_login(scenes.make_user("admin", is_staff=True))
    assert rows(client)[1:] == ["mallory from 10.9.8.7 | failed to log in, 2 times in a row | – | Logins"]
    assert "guess" not in client.get("/activity/").content.decode()
    client.force_login(scenes.make_user("operator"))
    assert "mallory" not in client.get("/activity/").content.decode()
    assert "mallory" not in client.get("/activity/?kind=logins").content.decode()


def test_logins_say_who_and_from_where(client, db):
    scenes.make_user("viewer", name="grace", password="long-and-odd-7")
    client.post("/login/", {"username": "grace", "password": "long-and-odd-7"}, REMOTE_ADDR="10.9.8.7")
    assert "logged in" not in client.get("/activity/").content.decode(), "not hers to see"
    client.logout()
    client.force_login(scenes.make_user("admin", is_staff=True))
    assert "grace from 10.9.8.7 | logged in | – | Logins" in rows(client)
    assert "long-and-odd-7" not in client.get("/activity/").content.decode()


def test_tests_of_a_bmc_and_check_ups_name_who_asked(operator, work):
    machine = installing.make_machine(driver="ipmi")
    Bmc.objects.filter(machine=machine).update(host="192.0.2.1")
    bmc_test.request_test(machine, by="ada")
    operator.post("/doctor/check-up/")
    assert rows(operator) == [
        "operator | asked for a check-up | – | Check-ups", "ada | asked for a test of the BMC | node1 | Power",
    ]  # fmt: skip
    assert rows(operator, kind="checkups") == ["operator | asked for a check-up | – | Check-ups"]


def test_notices_that_are_set_up_tested_and_removed(admin):
    wanted = {"name": "ops", "kind": "webhook", "address": "https://hooks.example/x", "on_failed": "on"}
    admin.post("/notices/", wanted | {"is_enabled": "on"})
    number = NoticeTarget.objects.get().pk
    admin.post(f"/notices/{number}/test/")
    admin.post(f"/notices/{number}/", wanted)
    admin.post(f"/notices/{number}/remove/")
    admin.post("/notices/", {"name": ""})
    said = ("removed", "changed", "sent a test to", "added")
    assert rows(admin, kind="admin") == [f"admin | {verb} notice target ops | – | Users and settings" for verb in said]
    assert "hooks.example" not in admin.get("/activity/").content.decode()


def test_what_is_done_to_images_and_their_imports(admin):
    image = installing.make_image("old")
    for verb in ("retire", "bring-back", "delete"):
        admin.post(f"/images/{image.pk}/{verb}/")
    asked = ImageImport.objects.create(name="new", source="url", location="http://x/", requested_by="ada")
    admin.post(f"/imports/{asked.pk}/cancel/")
    assert rows(admin, kind="images") == [
        "admin | cancelled the import of the image new | – | Images",
        "ada | asked to import the image new | – | Images",
        "admin | removed image old | – | Images",
        "admin | brought back image old | – | Images",
        "admin | retired image old | – | Images",
    ]


def test_sightings_that_are_forgotten_practice_that_is_removed_and_logins_that_are_unlocked(admin):
    seen = Sighting.objects.create(mac="52:54:00:aa:bb:cc")
    admin.post(f"/sightings/{seen.pk}/dismiss/")
    admin.post("/practice/remove/")
    admin.post("/practice/return/")
    grace = scenes.make_user("viewer", name="grace")
    admin.post("/admin/auth/user/", {"action": "unlock", "_selected_action": [grace.pk]})
    assert deeds_of(admin) == [
        "admin | unlocked logging in for user grace | – | Users and settings",
        "admin | brought back the practice servers | – | Users and settings",
        "admin | removed the practice servers | – | Users and settings",
        "admin | forgot sighting 52:54:00:aa:bb:cc | – | Inventory",
    ]


def test_filters(operator):
    today, yesterday = localtime().date(), (localtime() - timedelta(days=1)).date()
    image = installing.make_image()
    scenes.start(installing.make_machine("node-1"), image)
    machine_actions.request_power(installing.make_machine("node-2", number=2), "on", by="grace")
    assert [row.split(" | ")[0] for row in rows(operator)] == ["grace", "ada"]
    assert rows(operator, who="ada") == rows(operator, kind="installs") == rows(operator, machine="node-1")
    assert len(rows(operator, since=today.isoformat())) == 2
    assert rows(operator, until=yesterday.isoformat()) == []
    assert "Nobody did anything like that" in text_of(operator.get("/activity/?who=nobody"))
    assert len(rows(operator, since="soon", until="99", before="x", kind="\0")) == 2


def fill(count: int) -> None:
    machine, image = Machine.objects.first() or installing.make_machine(), installing.make_image(f"image-{count}")
    moment, minute = now() - timedelta(days=1), timedelta(minutes=1)
    made = [
        Install(machine=machine, image=image, method="file-tree", state="failed", requested_by="ada",
                queued_at=moment - timedelta(minutes=number // 2))
        for number in range(count)
    ]  # fmt: skip
    Install.objects.bulk_create(sorted(made, key=lambda install: install.queued_at))
    PowerCommand.objects.bulk_create(
        PowerCommand(machine=machine, action="on", state="done", asked_by="ada", asked_at=moment - ago * minute)
        for ago in reversed(range(count))
    )


def test_paging_by_time_shows_everything_once(db):
    fill(200)
    seen, before = [], None
    for _page in range(20):
        found = activity.page(activity.Question(before=before))
        assert len(found.entries) <= activity.ROWS_A_PAGE
        seen += found.entries
        before = found.next_before
        if before is None:
            break
    assert len(seen) == 400
    assert [entry.at for entry in seen] == sorted((entry.at for entry in seen), reverse=True)


def test_a_longer_past_needs_no_more_queries(operator, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    fill(5)
    with CaptureQueriesContext(connection) as few:
        operator.get("/activity/")
    fill(300)
    Cluster.objects.bulk_create(Cluster(name=f"c{number}") for number in range(50))
    with django_assert_max_num_queries(len(few)):
        operator.get("/activity/")
