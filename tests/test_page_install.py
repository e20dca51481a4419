"""The page of one install: what is late, what a cancel leaves behind, what can be downloaded."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.urls import reverse

from installs import actions, leaving
from installs.models import Event, Install, Notice
from installs.notices.words import payload_of, subject_of
from machines.models import Machine, Site
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power")


def shown(client, install: Install) -> str:
    return text_of(client.get(f"/installs/{install.pk}/"))


def test_a_part_that_takes_much_longer_than_usual_is_said_to_be_late(operator):
    image = installing.make_image()
    scenes.spread(scenes.installed(installing.make_machine(), image), 6)
    install, _ = scenes.until_copy(installing.make_machine("node2", number=2), image)
    assert "later than usual" not in shown(operator, install)
    Event.objects.filter(install=install).update(at=F("at") - timedelta(seconds=40))
    Install.objects.filter(pk=install.pk).update(queued_at=F("queued_at") - timedelta(seconds=40))
    assert "later than usual" in shown(operator, install)
    html = operator.get(f"/installs/{install.pk}/").content.decode()
    assert '<li data-s="running" class="late">' in html


def test_an_install_whose_os_was_only_seen_says_so_everywhere(operator):
    install = scenes.installed(installing.make_machine(), installing.make_image("debian-12"))
    words, payload = "Installed, not confirmed", payload_of(install, Notice.Kind.INSTALLED)
    pages = [f"/installs/{install.pk}/", "/installs/", reverse("machine", args=[install.machine.name])]
    assert not any(words in text_of(operator.get(page)) for page in pages)
    assert subject_of(payload) == "Dodai: node1 is installed with debian-12"
    Install.objects.update(confirmed_at=None)
    install.refresh_from_db()
    assert [page for page in pages if words not in text_of(operator.get(page))] == []
    assert "the OS answers, but has not called itself" in shown(operator, install)
    assert "(not confirmed:" in subject_of(payload_of(install, Notice.Kind.INSTALLED))
    Install.objects.update(state="failed")
    assert words not in shown(operator, install)


def begun(machine: Machine) -> Install:
    return scenes.start(machine, installing.make_image())


def test_nothing_is_left_behind_before_it_has_begun(db):
    assert leaving.if_cancelled(begun(installing.make_machine())) == "Nothing was begun: the machine stays as it is."


def test_before_the_grant_no_disk_is_written(operator):
    install, _server = scenes.until_installer(installing.make_machine(), installing.make_image())
    install.refresh_from_db()
    assert leaving.if_cancelled(install) == "No disk was written. The machine is switched off."
    assert (
        "Cancel this install of node1? No disk was written."
        in operator.get(f"/installs/{install.pk}/").content.decode()
    )


def test_after_the_grant_the_disk_is_half_written_beforehand_and_afterwards(operator):
    install, _granted = scenes.until_copy(installing.make_machine(), installing.make_image())
    assert "Its disk DISK1 is half-written" in leaving.if_cancelled(install)
    operator.post(reverse("cancel", args=[install.pk]))
    scenes.settle(install)
    assert "The machine is off. Its disk DISK1 is half-written: install it again." in shown(operator, install)


def test_what_is_written_to_the_end_is_said_to_be(db):
    install, server = scenes.until_installer(installing.make_machine(), installing.make_image())
    server.ask_grant()
    server.say("install_reboot")
    install.refresh_from_db()
    assert "The disk is written already" in leaving.if_cancelled(install)
    actions.cancel(install, by="ada")
    scenes.settle(install)
    assert "Its disk DISK1 was written to the end." in leaving.left_behind(install)


def test_an_inspection_leaves_nothing_behind(db):
    with scenes.named_ramdisk():
        inspection = actions.start_inspection(installing.make_machine(), by="ada")
    scenes.work()
    inspection.refresh_from_db()
    assert leaving.if_cancelled(inspection) == "It writes nothing. The machine is off afterwards."


@pytest.fixture
def practice(settings, tmp_path, db) -> Machine:
    settings.DATA = tmp_path
    machine = installing.make_machine("practice-1")
    Machine.objects.update(site=Site.objects.create(name="practice", is_practice=True))
    (tmp_path / "lab" / "practice-1").mkdir(parents=True)
    lines = [f"[  {number}] line {number}\r\n" for number in range(20_000)]
    (tmp_path / "lab" / "practice-1" / "console.log").write_text("".join(lines))
    (tmp_path / "images").mkdir()
    machine.refresh_from_db()
    return machine


def test_log_and_console_stand_side_by_side_and_can_be_downloaded(operator, practice):
    install = begun(practice)
    html = operator.get(f"/installs/{install.pk}/").content.decode()
    assert 'class="outputs" data-two' in html
    assert "line 0\n" not in html
    response = operator.get(f"/installs/{install.pk}/console.txt")
    assert response.content.startswith(b"[  0] line 0\n")
    assert b"line 19999" in response.content
    assert "practice-1-console.log" in response["Content-Disposition"]


def test_the_console_of_an_older_attempt_is_not_another_ones(operator, practice):
    older = begun(practice)
    actions.cancel(older, by="ada")
    scenes.settle(older)
    scenes.start(practice, older.image)
    assert operator.get(f"/installs/{older.pk}/console.txt").status_code == 404


def test_a_real_machine_has_no_console_here(operator):
    install = begun(installing.make_machine())
    assert operator.get(f"/installs/{install.pk}/console.txt").status_code == 404
    assert "Serial console" not in shown(operator, install)
