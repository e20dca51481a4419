"""Pages and commands of waves: who may do what, what is asked for, and what is said."""

from datetime import time

import pytest
from django.core.management import CommandError, call_command

from installs.models import Install, Notice, Wave
from installs.notices.words import subject_of
from installs.notices.words import text_of as mail_text
from installs.waves import asking, turns
from installs.waves.asking import Rules
from machines.models import Machine
from tests import installing, scenes
from tests.test_pages_content import text_of


@pytest.fixture(autouse=True)
def _fake_power():
    from machines.power import fake

    fake.forget()
    with scenes.named_ramdisk():
        yield
    fake.forget()


@pytest.fixture
def machines(db) -> list[Machine]:
    return [installing.make_machine(f"n{number}", number=number) for number in range(1, 5)]


@pytest.fixture
def image(db):
    return installing.make_image()


@pytest.fixture
def boss(client, db):
    client.force_login(scenes.make_user("admin"))
    return client


def asked(machines, image, **rules) -> dict[str, object]:
    ids = ",".join(str(machine.pk) for machine in machines)
    return {"machines": ids, "image": image.pk, "canary_count": 1, "part_size": 2, "stop_at": 1} | rules


def test_a_wave_is_written_down_and_begins_nothing(boss, machines, image):
    answer = boss.post("/waves/new/", asked(machines, image, window_from="22:00", window_to="05:00"))
    wave = Wave.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/waves/{wave.pk}/")
    assert (wave.window_from, wave.window_to, wave.requested_by) == (time(22), time(5), "admin")
    assert list(wave.machines.values_list("machine__name", "part")) == [("n1", 0), ("n2", 1), ("n3", 1), ("n4", 2)]
    turns.take_all()
    assert not Install.objects.exists()
    said = text_of(boss.get(f"/waves/{wave.pk}/"))
    assert "1 canary first, then 2 machines at a time" in said
    assert "begins installs from 22:00 to 05:00 (UTC)" in said
    for number in range(1, 5):
        assert f"DISK{number}" in said


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"canary_count": 0}, "greater than or equal to 1"), ({"part_size": ""}, "required"),
        ({"stop_at": 1000}, "less than or equal to 200"), ({"window_from": "22:00"}, "Give both times, or none."),
        ({"window_from": "22:00", "window_to": "22:00"}, "is never open"), ({"window_from": "soon"}, "valid time"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_form_is_said(boss, machines, image, wrong, words):
    answer = boss.post("/waves/new/", asked(machines, image, **wrong))
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert not Wave.objects.exists()


def test_without_machines_or_image_it_says_how_to_choose_them(boss, machines, image):
    assert "No machine is chosen" in text_of(boss.get("/waves/new/"))
    assert "No image is chosen" in text_of(boss.post("/waves/new/", asked(machines, image) | {"image": "77"}))


def test_who_may_only_install_cannot_approve(client, machines, image):
    client.force_login(scenes.make_user("operator"))
    wave = asking.propose(machines, image, Rules(), by="operator")
    page = client.get(f"/waves/{wave.pk}/")
    assert "It waits for somebody who may approve waves" in text_of(page)
    assert "Approve: wipe" not in text_of(page)
    digest = asking.plans(wave).digest
    assert client.post(f"/waves/{wave.pk}/approve/", {"approved": digest}).status_code == 403
    wave.refresh_from_db()
    assert wave.state == "proposed"


def test_who_may_only_approve_cannot_wipe(client, machines, image):
    from django.contrib.auth.models import Permission

    user = scenes.make_user("viewer")
    user.user_permissions.add(Permission.objects.get(codename="approve_wave"))
    client.force_login(user)
    wave = asking.propose(machines, image, Rules(), by="ann")
    answer = client.post(f"/waves/{wave.pk}/approve/", {"approved": asking.plans(wave).digest})
    assert (answer.status_code, Wave.objects.get().state) == (403, "proposed")


def test_what_changed_is_named_and_what_is_in_use_typed(boss, machines, image):
    Machine.objects.filter(name="n2").update(state="in_use")
    wave = asking.propose(machines, image, Rules(), by="ann")
    shown = {"approved": asking.plans(wave).digest}
    assert boss.post(f"/waves/{wave.pk}/approve/", shown).status_code == 422
    typed = shown | {"typed_count": "4", "typed_names": "n2"}
    type(image).objects.update(swap_mib=4096)
    answer = boss.post(f"/waves/{wave.pk}/approve/", typed)
    assert (answer.status_code, "Changed since this list was shown: the layout." in text_of(answer)) == (409, True)
    typed["approved"] = asking.plans(Wave.objects.get()).digest
    assert boss.post(f"/waves/{wave.pk}/approve/", typed).status_code == 302
    again = boss.post(f"/waves/{wave.pk}/approve/", typed)
    assert "the state of the wave is “running” now" in text_of(again)


def test_the_page_of_a_stopped_wave_says_why_and_the_notice_too(boss, machines, image):
    from installs.models import NoticeTarget

    NoticeTarget.objects.create(name="ops", address="https://example.org/")
    wave = asking.propose(machines, image, Rules(), by="ann")
    asking.approve(wave, approved=asking.plans(wave).digest, by="bea")
    turns.take_all()
    install = Install.objects.get()
    from installs import ending

    ending.stop(install.pk, cause="silent", error="it fell silent")
    scenes.settle(install)
    turns.take_all()
    said = text_of(boss.get(f"/waves/{wave.pk}/"))
    assert "Nothing more begins. 1 installs failed, 0 were cancelled: n1 (silent)" in said
    assert "Stopped" in text_of(boss.get("/waves/"))
    assert "wave stopped" in text_of(boss.get("/notices/"))
    notice = Notice.objects.get(kind=Notice.Kind.WAVE_STOPPED)
    assert subject_of(notice.payload) == f"Dodai: wave {wave.pk} of debian stopped after 1 bad ends"
    assert "4 machines: 3 not begun, 0 under way." in mail_text(notice.payload)


def test_the_command_shows_stops_and_tells_what_is_wrong(machines, image, capsys):
    wave = asking.propose(machines, image, Rules(), by="ann")
    call_command("wave", "status")
    call_command("wave", "status", wave.pk)
    assert "Nothing happens before somebody who may approves" in (printed := capsys.readouterr().out)
    assert "n4" in printed
    for verb in ("pause", "resume"):
        with pytest.raises(CommandError, match="the state of the wave is “wants approval” now"):
            call_command("wave", verb, wave.pk)
    call_command("wave", "stop", wave.pk)
    assert Wave.objects.get().state == "cancelled"
    with pytest.raises(CommandError, match="there is no wave 99"):
        call_command("wave", "stop", 99)
    with pytest.raises(CommandError, match="named twice"):
        call_command("wave", "start", image.name, "n1", "n1")
    with pytest.raises(CommandError, match="there is no image"):
        call_command("wave", "start", "nothing", "n1")


def test_activity_tells_who_approved_a_wave(boss, machines, image):
    wave = asking.propose(machines, image, Rules(), by="ann")
    asking.approve(wave, approved=asking.plans(wave).digest, by="bea")
    said = text_of(boss.get("/activity/"))
    assert f"wave {wave.pk} proposed" in said
    assert f"wave {wave.pk} approved" in said
