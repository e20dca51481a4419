"""What the pages say, from rows that the engine made."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now

from installs import actions
from installs.models import Install
from machines import actions as machine_actions
from machines.models import Beat, Disk, Machine, PowerCommand, Site
from machines.power.base import Power
from tests import installing, scenes

pytestmark = pytest.mark.usefixtures("fake_power")

ALL = ("/", "/machines/", "/installs/", "/images/", "/sightings/")


def text_of(response) -> str:
    assert response.status_code in (200, 409, 422), response.status_code
    bare = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(bare.replace("&#34;", '"').replace("&#39;", "'").split())


@pytest.mark.parametrize("page", ALL)
def test_an_empty_database_says_what_to_do_next(operator, page):
    assert re.search(
        r"No machines yet|no machines yet|Nothing was installed|No images yet|No unknown machine",
        text_of(operator.get(page)),
    )


@pytest.mark.parametrize("page", ALL)
def test_a_fragment_is_the_same_page_without_what_stands_around_it(operator, page):
    whole = operator.get(page).content.decode()
    fragment = operator.get(page, headers={"Dodai-Fragment": "1"}).content.decode()
    inner = whole.split('<div id="page">')[1].split("</main>")[0].strip()
    assert "<html" not in fragment
    assert fragment.split('<div id="page">')[1].strip() == inner


def test_every_page_of_a_whole_fleet_can_be_shown(operator):
    made = scenes.whole_fleet()
    pages = [*ALL, "/installs/?inspections=1&state=live", "/?by=power", "/?by=cluster", "/machines/?state=failed"]
    pages += [reverse("install", args=[install.pk]) for install in made.values()]
    pages += [reverse(page, args=[machine.name]) for machine in Machine.objects.all() for page in ("machine", "plan")]
    for page in pages:
        assert operator.get(page).status_code == 200, page


def test_hostile_text_is_shown_and_never_run(operator):
    hostile = scenes.HOSTILE
    machine = installing.make_machine(owner=hostile, notes=hostile, rack=hostile[:31], facts={"product": hostile})
    Disk.objects.create(
        machine=machine, serial="X", size_bytes=1, model=hostile, signatures=[{"type": hostile, "label": hostile}]
    )
    install = scenes.failed(machine, installing.make_image("image"), message=hostile)
    Install.objects.filter(pk=install.pk).update(error_detail=hostile, left_behind=hostile, requested_by=hostile)
    install.log.create(text=hostile)
    install.events.create(kind="alert", name="x", text=hostile)
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address=None, serial=hostile, platform=hostile[:15])
    for page in (*ALL, f"/machines/{machine.name}/", f"/machines/{machine.name}/install/", f"/installs/{install.pk}/"):
        html = operator.get(page).content.decode()
        assert "<script>alert" not in html, page
        assert "onmouseover='x'" not in html, page
    assert operator.get("/machines/", {"q": hostile, "cluster": hostile}).status_code == 200


def test_practice_servers_alone_are_introduced_by_their_number(operator):
    site = Site.objects.create(name="practice", is_practice=True)
    for number in range(1, 4):
        Machine.objects.filter(pk=installing.make_machine(f"practice-{number}", number=number).pk).update(site=site)
    said = text_of(operator.get("/"))
    assert (
        "Three practice servers are ready. They live inside this computer; nothing here can touch your network." in said
    )


def test_with_a_real_machine_the_practice_servers_are_not_introduced(operator):
    installing.make_machine()
    assert "practice servers are ready" not in text_of(operator.get("/"))


def test_practice_servers_that_are_not_inspected_yet_are_said_to_be(operator):
    site = Site.objects.create(name="practice", is_practice=True)
    for number in (1, 2):
        machine = installing.make_machine(
            f"practice-{number}", number=number, inspected_at=now() if number == 1 else None
        )
        Machine.objects.filter(pk=machine.pk).update(site=site)
    assert "being looked at from inside. Still to come: practice-2. 1 of 2 are done." in text_of(operator.get("/"))


def test_a_lab_that_is_still_built_is_said_to_be(operator, settings, tmp_path):
    settings.DATA = tmp_path
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "control.sock").touch()
    assert "Practice servers are being prepared. The ramdisk" in text_of(operator.get("/"))


def test_the_fleet_names_what_needs_attention_and_the_next_click(operator):
    install = scenes.failed(installing.make_machine(), installing.make_image())
    said = text_of(operator.get("/"))
    assert "node1 : the image's file is not the one in the catalogue" in said
    assert install.error in said
    assert "import the image again" in said
    assert f'action="{reverse("retry", args=[install.pk])}"' in operator.get("/").content.decode()


def test_a_running_install_says_its_bytes(operator):
    install, _ = scenes.until_copy(installing.make_machine(), installing.make_image())
    assert "Copying files 41 of 62 MB given up at" in text_of(operator.get(f"/installs/{install.pk}/"))
    assert "Copying files, 41 of 62 MB" in text_of(operator.get("/installs/"))
    assert "Copying files, 41 of 62 MB" in text_of(operator.get("/"))


def test_an_installed_machine_says_that_its_os_called(operator):
    install = scenes.installed(installing.make_machine(), installing.make_image())
    assert "the OS itself called at" in text_of(operator.get(f"/installs/{install.pk}/"))
    assert "debian" in text_of(operator.get("/machines/node1/"))


def test_a_failure_shows_step_cause_last_lines_and_what_was_left(operator):
    install = scenes.failed(installing.make_machine(), installing.make_image())
    said = text_of(operator.get(f"/installs/{install.pk}/"))
    for words in (
        "Failed at “Checking the image”",
        "Cause the image's file is not the one in the catalogue digest",
        "Left behind The machine is off.",
        "FAILED in phase verify",
        "Retry",
    ):
        assert words in said


def test_a_task_for_a_person_is_shown_big(operator):
    machine = installing.make_machine(driver="manual")
    install = scenes.start(machine, installing.make_image())
    scenes.work()
    assert "This waits for you node1 has no BMC" in text_of(operator.get(f"/installs/{install.pk}/"))


def test_an_inspection_has_its_own_words(operator):
    with scenes.named_ramdisk():
        inspection = actions.start_inspection(installing.make_machine(), by="ada")
    said = text_of(operator.get(f"/installs/{inspection.pk}/"))
    assert "Inspection, which writes nothing" in said
    assert "Cancel inspection" in said
    assert "node1" not in text_of(operator.get("/installs/")).replace("Open a machine", "")
    assert "Inspection" in text_of(operator.get("/installs/?inspections=1"))


def test_usual_seconds_come_from_earlier_successes(operator):
    image = installing.make_image()
    done = scenes.installed(installing.make_machine(), image)
    scenes.spread(done, 6)
    install = scenes.start(installing.make_machine("node2", number=2), image)
    said = text_of(operator.get(f"/installs/{install.pk}/"))
    assert "Usual: median of 1 earlier success" in said
    assert "usually 6.0 s" in said


def test_the_log_can_be_taken_whole_and_holds_no_token(operator):
    install, _ = scenes.until_copy(installing.make_machine(), installing.make_image())
    install.log.create(text="GET http://server/first-boot/" + "A" * 43)
    response = operator.get(f"/installs/{install.pk}/log.txt")
    assert b"unpacking etc/hosts" in response.content
    assert b"A" * 43 not in response.content
    assert response["Content-Type"].startswith("text/plain")


def test_the_console_of_a_practice_server_is_shown_clean(operator, settings, tmp_path):
    settings.DATA = tmp_path
    machine = installing.make_machine("practice-1")
    Machine.objects.filter(pk=machine.pk).update(site=Site.objects.create(name="practice", is_practice=True))
    (tmp_path / "lab" / "practice-1").mkdir(parents=True)
    (tmp_path / "lab" / "practice-1" / "console.log").write_bytes(b"\x1b[31mSeaBIOS\x1b[0m <b>\xff\r\niPXE" + b"\0" * 9)
    html = operator.get("/machines/practice-1/").content.decode()
    assert '<div class="l">SeaBIOS &lt;b&gt;\N{REPLACEMENT CHARACTER}</div><div class="l">iPXE</div>' in html


def test_power_says_its_age_and_why_it_is_unknown(operator):
    machine = installing.make_machine()
    machine_actions.record_power(
        machine, Power.UNKNOWN, error="node1: the BMC at 10.0.0.7 refused the password", next_in=timedelta()
    )
    said = text_of(operator.get("/machines/node1/"))
    assert "No reply" in said
    assert "refused the password" in said
    assert "Never read" in said
    machine_actions.record_power(machine, Power.ON, next_in=timedelta())
    assert re.search(r"Read \d s ago; on since", text_of(operator.get("/machines/node1/")))


def test_a_power_button_asks_for_power_in_the_name_of_its_user(operator):
    installing.make_machine()
    said = text_of(operator.post("/machines/node1/power/", {"action": "on"}, follow=True))
    assert "node1 is being switched on." in said
    assert PowerCommand.objects.get().asked_by == "operator"
    assert "Switch on by operator" in said


@pytest.mark.parametrize("action", ["", "explode", "on" * 400])
def test_a_power_command_that_does_not_exist_is_refused(operator, action):
    installing.make_machine()
    assert "there is no power command" in text_of(
        operator.post("/machines/node1/power/", {"action": action}, follow=True)
    )


def test_the_root_disk_can_be_chosen_among_several(operator):
    machine = installing.make_machine()
    other = Disk.objects.create(machine=machine, serial="OTHER", size_bytes=1 << 40, path="/dev/sdb")
    assert "Make root disk" in text_of(operator.get("/machines/node1/"))
    operator.post("/machines/node1/root-disk/", {"disk": other.pk})
    assert list(machine.disks.filter(is_root=True)) == [other]


def test_a_disk_of_another_machine_cannot_be_chosen(operator):
    installing.make_machine()
    other = installing.make_machine("node2", number=2).disks.get()
    assert operator.post("/machines/node1/root-disk/", {"disk": other.pk}).status_code == 404
    assert operator.post("/machines/node1/root-disk/", {"disk": "²"}).status_code == 404


def test_sightings_were_sent_to_their_own_disk(operator):
    machine_actions.record_sighting("3c:ec:ef:00:00:01", address="10.0.0.9", platform="efi")
    assert "3c:ec:ef:00:00:01 Sent to its own disk" in text_of(operator.get("/sightings/"))


def test_images_say_how_often_they_worked(operator):
    image = installing.make_image()
    scenes.installed(installing.make_machine(), image)
    scenes.failed(installing.make_machine("node2", number=2), image)
    assert "1 machine 1 of 2 (50 %)" in text_of(operator.get("/images/"))


def test_a_lost_watchdog_is_said_on_every_page(operator):
    Beat.objects.create(name="watchdog", at=now() - timedelta(minutes=5))
    assert "watchdog was last seen 5 min ago" in text_of(operator.get("/images/"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("q=node-03", 1), ("q=52:54:00:00:00:04", 1), ("q=5254-0000-0005", 1), ("q=525400000006", 1), ("q=SN7", 1),
        ("q=nothing", 0), ("state=free", 9), ("state=new", 0), ("q=node free-of-words", 0), ("power=on", 0),
        ("sort=-name", 9), ("page=99", 9), ("page=x&sort=drop&state=%00&cluster=%00", 9),
    ],
)  # fmt: skip
def test_machines_are_filtered_by_the_database(operator, asked, expected):
    for number in range(1, 10):
        installing.make_machine(f"node-0{number}", number=number)
    assert operator.get(f"/machines/?{asked}").content.decode().count('<tr id="m') == expected


def test_machines_can_be_sorted_both_ways(operator):
    for number in (1, 2, 3):
        installing.make_machine(f"node-0{number}", number=number, rack=f"R{4 - number}")
    for sort, first in (("place", "node-03"), ("-place", "node-01"), ("-name", "node-03")):
        assert (
            re.search(
                r'<th scope="row"><a href="/machines/([^/]+)/', operator.get(f"/machines/?sort={sort}").content.decode()
            )[1]
            == first
        )


@pytest.mark.parametrize("page", ["/", "/machines/", "/installs/?inspections=1", "/images/", "/sightings/"])
def test_more_machines_need_no_more_queries(operator, page):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert operator.get(page).status_code == 200
        return len(seen)

    image = installing.make_image()
    fill(1, 5, image)
    few = queries()
    fill(5, 17, image)
    assert queries() <= few


def fill(first: int, after: int, image) -> None:
    for number in range(first, after):
        machine = installing.make_machine(f"node-{number:02}", number=number)
        machine_actions.record_sighting(f"3c:ec:ef:00:00:{number:02x}", address=None)
        if number % 4 == 1:
            scenes.until_copy(machine, image)
        elif number % 4 == 2:
            scenes.failed(machine, image)
        elif number % 4 == 3:
            scenes.start(machine, image)
