"""The fleet page: what it counts, what it groups, and how practice servers go and come back."""

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs import attention, overview, practice, usual
from installs.models import Install
from machines import actions as machine_actions
from machines.fleet import Doing, count, units_of_fleet
from machines.models import Machine, Site
from machines.power.base import Power
from tests import installing, scenes
from tests.test_pages_content import text_of

pytestmark = pytest.mark.usefixtures("fake_power")


def practice_site() -> Site:
    return Site.objects.get_or_create(name="practice", defaults={"is_practice": True})[0]


def practice_machine(number: int, **fields) -> Machine:
    machine = installing.make_machine(f"practice-{number}", number=200 + number, **fields)
    Machine.objects.filter(pk=machine.pk).update(site=practice_site())
    return Machine.objects.get(pk=machine.pk)


def failures(count: int, cause: str, *, first: int = 1) -> list[Install]:
    """Machines whose last install failed for the same cause."""
    image = installing.make_image(f"image-{cause}")
    made = []
    for number in range(first, first + count):
        install = scenes.start(installing.make_machine(f"node{number}", number=number), image)
        Install.objects.filter(pk=install.pk).update(
            state="failed", cause=cause, error="nothing was heard", ended_at=now()
        )
        Machine.objects.filter(pk=install.machine_id).update(state="free", handled_by="")
        made.append(install)
    return made


def test_practice_servers_are_counted_apart(operator):
    practice_machine(1)
    for number in (1, 2):
        installing.make_machine(f"node{number}", number=number)
    counters = count(units_of_fleet({}, moment=now()))
    assert (counters.machines, counters.free, counters.practice, counters.kind) == (2, 2, 1, "real")
    said = text_of(operator.get("/"))
    assert "Machines 2 0 racks" in said
    assert "1 practice server inside this computer, not counted above." in said


def test_where_there_is_nothing_else_they_are_what_is_counted(operator):
    practice_machine(1)
    counters = count(units_of_fleet({}, moment=now()))
    assert (counters.machines, counters.is_practice_only, counters.kind) == (1, True, "")
    assert "Practice servers 1" in text_of(operator.get("/"))


def test_machines_that_failed_alike_are_one_line(operator):
    failures(5, "silent")
    failures(1, "digest", first=6)
    said = text_of(operator.get("/"))
    assert "5 machines : fell silent" in said
    assert re.search(r"node5 , node4 , node3 and 2 more; installs, the last \d+ s ago", said)
    assert "Look at its console: the installer stopped speaking." in said
    html = operator.get("/").content.decode()
    assert 'href="/machines/?state=failed&amp;cause=silent"' in html
    assert "Retry all…" in html


def test_groups_put_the_most_machines_first_and_practice_last(db):
    failures(1, "disk")
    failures(2, "silent", first=2)
    Machine.objects.filter(name__in=["node2", "node3"]).update(site=practice_site())
    groups = attention.grouped(overview.failed_installs())
    assert [(group.cause, len(group.installs), group.is_practice) for group in groups] == [
        ("disk", 1, False), ("silent", 2, True),
    ]  # fmt: skip


def test_every_cause_has_words_and_the_unknown_one_itself():
    assert attention.Group("no-such-cause", False, False, []).words == "no-such-cause"
    assert attention.Group("silent", False, False, []).words == "fell silent"


def test_the_queries_do_not_grow_with_causes_and_running_installs(operator, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert operator.get("/").status_code == 200
        return len(seen)

    failures(1, "silent")
    scenes.until_copy(installing.make_machine("busy", number=90), installing.make_image("tiny"))
    few = queries()
    for number, cause in enumerate(("disk", "digest", "space"), start=1):
        failures(2, cause, first=10 * number)
        scenes.until_copy(installing.make_machine(f"busy{number}", number=90 + number), installing.make_image(cause))
    assert queries() == few


def done(machine: Machine, image, seconds: float) -> None:
    moment = now()
    Install.objects.create(
        machine=machine, image=image, method=image.method, state="installed", plan_digest="x", requested_by="ada",
        queued_at=moment - timedelta(seconds=seconds), ended_at=moment,
    )  # fmt: skip


def test_usual_is_the_median_of_this_image_on_this_model(db):
    image, other = installing.make_image(), installing.make_image("other")
    fast = installing.make_machine("fast", number=1, facts={"manufacturer": "Dell", "product": "R650"})
    slow = installing.make_machine("slow", number=2, facts={"manufacturer": "Dell", "product": "R610"})
    for seconds in (50, 60, 70):
        done(fast, image, seconds)
    for seconds in (200, 300, 400):
        done(slow, image, seconds)
    done(fast, other, 9000)
    times = usual.usual_times([Install(machine=fast, image=image, method=image.method)])
    assert times.of(Install(machine=fast, image=image, method=image.method)) == timedelta(seconds=60)
    assert times.of(Install(machine=slow, image=image, method=image.method)) == timedelta(seconds=300)
    unknown = installing.make_machine("unknown", number=3)
    assert times.of(Install(machine=unknown, image=image, method=image.method)) == timedelta(seconds=135)


@pytest.mark.parametrize(
    ("usually", "took", "late"),
    [(None, 9999, False), (20, 45, False), (20, 51, True), (600, 880, False), (600, 901, True)],
)
def test_late_is_notably_more_than_usual(usually, took, late):
    moment = now()
    install = Install(state="waiting", queued_at=moment - timedelta(seconds=took))
    expected = timedelta(seconds=usually) if usually else None
    assert usual.is_late(install, expected, now=moment) is late


def test_what_is_late_is_said_against_the_usual_time(operator):
    image, machine = installing.make_image(), installing.make_machine()
    done(installing.make_machine("node2", number=2), image, 60)
    install, _ = scenes.until_copy(machine, image)
    assert "of usually 1 min" in text_of(operator.get("/"))
    Install.objects.filter(pk=install.pk).update(queued_at=now() - timedelta(minutes=5))
    response = operator.get("/")
    assert "late: usually 1 min" in text_of(response)
    assert "1 takes longer than usual" in text_of(response)
    assert re.search(rf'<li id="run{install.pk}" data-late>', response.content.decode())


def test_the_age_of_the_oldest_reading_is_said(operator):
    machine = installing.make_machine()
    assert "oldest power reading" not in text_of(operator.get("/"))
    machine_actions.record_power(machine, Power.ON, next_in=timedelta())
    Machine.objects.update(power_seen_at=now() - timedelta(seconds=31))
    assert re.search(r"oldest power reading 3\d s", text_of(operator.get("/")))
    Machine.objects.update(power_seen_at=now() - timedelta(hours=2))
    assert 'data-s="stale"' in operator.get("/").content.decode()


# Practice servers go, stay away, and come back.


def test_removing_retires_them_and_cancels_what_runs_on_them(operator):
    one, two = practice_machine(1), practice_machine(2)
    real = installing.make_machine("node1", number=1)
    install = scenes.start(two, installing.make_image())
    said = text_of(operator.post("/practice/remove/", follow=True))
    assert "The practice servers are removed." in said
    states = dict(Machine.objects.values_list("name", "state"))
    assert (states[one.name], states[real.name]) == ("retired", "free")
    scenes.settle(install)
    assert (install.state, install.cause) == ("cancelled", "cancelled")
    practice.put_away(lambda text: None)
    assert set(Machine.objects.practice().values_list("state", flat=True)) == {"retired"}


def test_they_stay_away_after_a_restart_and_can_be_had_back(operator, monkeypatch):
    practice_machine(1)
    prepared = []
    monkeypatch.setattr(practice, "prepare", lambda count, say: prepared.append(count))
    operator.post("/practice/remove/")
    assert practice.settle(3, print, None) is False, "put away, and nothing is prepared"
    assert practice.settle(3, print, False) is False
    assert prepared == []
    operator.post("/practice/return/")
    assert practice.settle(3, print, False) is True
    assert prepared == [3]
    assert practice.settle(3, print, True) is True
    assert prepared == [3], "once is enough"


def test_one_that_is_still_being_stopped_is_looked_at_again(operator):
    machine = practice_machine(1)
    scenes.until_copy(machine, installing.make_image())
    operator.post("/practice/remove/")
    assert practice.settle(1, print, None) is None
    assert Machine.objects.get(pk=machine.pk).state == "installing"


def test_one_that_an_install_has_just_taken_is_left_to_it(db):
    """As PostgreSQL sees it while the install's own row is not committed yet."""
    machine = practice_machine(1)
    Machine.objects.update(handled_by="install 7")
    practice.retire_others(set())
    assert Machine.objects.get(pk=machine.pk).state != "retired"


def test_a_viewer_may_not_remove_them(client, db):
    client.force_login(scenes.make_user("viewer"))
    practice_machine(1)
    assert client.post("/practice/remove/").status_code == 403
    assert "Remove practice servers" not in client.get("/").content.decode()


def test_removed_ones_are_not_said_to_be_prepared(operator, settings, tmp_path):
    settings.DATA = tmp_path
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "control.sock").touch()
    practice_machine(1)
    operator.post("/practice/remove/")
    said = text_of(operator.get("/"))
    assert "being prepared" not in said
    assert "No machines yet" in said


def test_ready_practice_servers_say_what_an_install_takes_here(operator):
    machine = practice_machine(1)
    done(machine, installing.make_image("tiny"), 48)
    assert "An install takes about 48 s here." in text_of(operator.get("/"))


def test_a_unit_at_work_is_drawn_as_far_as_it_is(db):
    machine = installing.make_machine()
    unit = units_of_fleet({machine.pk: Doing("Copying files", share=0.4)}, moment=now())[0]
    assert (unit.look, unit.share, unit.words) == ("installing", 0.4, "Copying files")
