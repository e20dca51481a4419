"""The computations behind the pages: timeline, words, usual times, sizes. Rows here are never stored."""

from datetime import UTC, datetime, timedelta

import pytest

from dodaiweb import formats
from installs.logs import last_lines, plain
from installs.models import Event, Install
from installs.timeline import Look, current, share_done, timeline, usual_of
from installs.words import event_words, short_words, words_for
from machines.fleet import Rack, Unit, clusters_of, count, racks_of
from machines.hardware import disk_contents
from machines.models import Disk, Machine, Site

START = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
MB = 1_000_000


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def install(state: str = "waiting", **fields) -> Install:
    machine = Machine(name="node1", site=Site(name="main"))
    return Install(machine=machine, method=fields.pop("method", "file-tree"), state=state, queued_at=START, **fields)


def events(*pairs: tuple[str, str, float]) -> list[Event]:
    return [Event(kind=kind, name=name, at=at(seconds)) for kind, name, seconds in pairs]


BOOTED = [
    ("step", "power_off", 1),
    ("step", "power_on", 3),
    ("step", "netboot", 4),
    ("machine", "install", 14),
    ("step", "copy", 14),
]


def marks_by_name(made, pairs, **more):
    return {mark.name: mark for mark in timeline(made, events(*pairs), **more)}


def test_each_mark_lasts_until_the_next_one():
    marks = marks_by_name(install(), [*BOOTED, ("phase", "fetch", 16)])
    assert marks["queued"].took == timedelta(seconds=1)
    assert marks["netboot"].took == timedelta(seconds=10)
    assert (marks["fetch"].look, marks["fetch"].took) == (Look.RUNNING, None)


def test_the_step_copy_is_not_the_phase_copy():
    marks = marks_by_name(install(), BOOTED)
    assert marks["install"].look == Look.RUNNING
    assert marks["copy"].look == Look.TODO


def test_phases_stand_in_the_order_in_which_they_came():
    made = timeline(install(), events(*BOOTED, ("phase", "partition", 15), ("phase", "fetch", 16)))
    names = [mark.name for mark in made]
    assert names.index("partition") < names.index("fetch") < names.index("verify")
    assert [mark.look for mark in made if mark.name in ("partition", "fetch", "verify")] == ["done", "running", "todo"]


def test_a_lost_event_is_passed_but_not_timed():
    marks = marks_by_name(install(), [("step", "netboot", 4), ("machine", "install_reboot", 30)])
    assert (marks["install"].look, marks["install"].at) == (Look.UNSEEN, None)
    assert marks["netboot"].took == timedelta(seconds=26)


def test_a_failure_stays_at_the_mark_where_it_stopped():
    made = timeline(install("failed", ended_at=at(60)), events(*BOOTED, ("phase", "fetch", 16), ("state", "stop", 40)))
    assert (current(made).name, current(made).look) == ("fetch", Look.FAILED)
    assert current(made).took == timedelta(seconds=24)


def test_an_installed_machine_has_passed_every_mark():
    done = install("installed", ended_at=at(50))
    made = timeline(done, events(*BOOTED, ("step", "first_boot", 40)))
    assert {mark.look for mark in made} == {Look.DONE, Look.UNSEEN}
    assert share_done(made, done) == 1.0


def test_the_share_counts_the_bytes_of_the_present_phase():
    half = install(phase="fetch", done_bytes=50, total_bytes=100)
    made = timeline(half, events(*BOOTED, ("phase", "fetch", 16)))
    assert share_done(made, half) == pytest.approx((made.index(current(made)) + 0.5) / len(made))


def test_usual_times_are_medians_of_successes():
    peers = [
        (install("installed", ended_at=at(seconds)), events(("step", "power_off", 0), ("step", "power_on", seconds)))
        for seconds in (10, 20, 90)
    ]
    usual = usual_of(peers)
    assert (usual.count, usual.whole) == (3, timedelta(seconds=20))
    assert usual.of("power_off") == timedelta(seconds=20)
    assert usual.of("fetch") is None


def words(made: Install, pairs=BOOTED, *, now: float = 20, **more):
    return words_for(made, timeline(made, events(*pairs)), now=at(now), **more)


def test_copying_says_bytes_rate_time_left_and_when_it_is_given_up():
    copying = install(
        phase="copy", done_bytes=41 * MB, total_bytes=62 * MB, bytes_per_second=12 * MB, progress_at=at(20),
        awaited="install_reboot", silence=timedelta(minutes=3), quiet_until=at(200), give_up_at=at(900),
    )  # fmt: skip
    said = words(copying, [*BOOTED, ("phase", "copy", 17)])
    assert said.headline == "Copying files"
    assert said.details == "41 of 62 MB, 12 MB/s, about 2 s left"
    assert said.deadline == f"given up at {formats.clock(at(200))} if silent"


def test_an_old_rate_is_not_shown_as_the_present_one():
    stalled = install(
        phase="copy", done_bytes=41 * MB, total_bytes=62 * MB, bytes_per_second=12 * MB, progress_at=at(20),
        silence=timedelta(minutes=3), quiet_until=at(200),
    )  # fmt: skip
    assert words(stalled, [*BOOTED, ("phase", "copy", 17)], now=60).details == "41 of 62 MB, silent for 40 s"


def test_bytes_of_an_earlier_phase_are_not_those_of_this_one():
    later = install(phase="copy", done_bytes=62 * MB, total_bytes=62 * MB)
    said = words(later, [*BOOTED, ("phase", "copy", 17), ("machine", "install_reboot", 19)])
    assert (said.headline, said.details) == ("Restart from disk", "")


def test_a_queued_install_is_told_its_place():
    said = words(install("queued"), [], now=7, ahead=2)
    assert (said.headline, said.details) == ("Waiting in the queue", "for 7 s; 2 before it at main")


def test_a_stopping_install_says_what_is_being_verified():
    said = words(install("stopping", wanted_end="cancelled", power_off_to_stop=True, give_up_at=at(90)))
    assert said.headline == "Cancelling"
    assert "reading it back" in said.details


def test_what_is_usual_is_left_out_while_a_person_is_waited_for():
    usual = usual_of([(install("installed", ended_at=at(90)), events(*BOOTED, ("step", "first_boot", 40)))])
    assert "usually" in words(install(), BOOTED[:3], now=5, usual=usual).details
    assert "usually" not in words(install(operator_task="press the button"), BOOTED[:3], now=5, usual=usual).details


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("queued", "Queued"),
        ("installed", "Inspected"),
        ("failed", "Failed at “Network boot”"),
        ("stopping", "Being stopped"),
    ],
)
def test_lists_have_one_line_for_every_state(state, expected):
    made = install(state, method="inspect")
    assert short_words(made, timeline(made, events(*BOOTED[:3])), now=at(9)) == expected


def test_waits_that_come_and_go_are_left_out_of_the_history():
    assert event_words(Event(kind="state", name="resume")) == ""
    assert event_words(Event(kind="machine", name="install")) == "the machine said “install”"


@pytest.mark.parametrize(
    ("count_of_bytes", "expected"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (62 * MB, "62 MB"),
        (999_600, "1 MB"),
        (960_197_124_096, "960 GB"),
        (None, "\N{EN DASH}"),
    ],
)
def test_sizes(count_of_bytes, expected):
    assert formats.size(count_of_bytes) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (72, "1 min 12 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (200_000, "2 days"),
        (-4, "0 s"),
    ],
)
def test_durations(seconds, expected):
    assert formats.duration(timedelta(seconds=seconds)) == expected


def test_short_durations_can_be_exact():
    assert formats.duration(0.44, exact=True) == "0.4 s"
    assert formats.duration(12.4, exact=True) == "12 s"


def test_a_time_of_another_day_has_its_date_and_all_have_a_zone():
    assert formats.clock(START, now=at(60)) == "05:00:00 UTC"
    assert formats.clock(START, now=at(90_000)) == "4 Mar 05:00 UTC"


def test_console_text_loses_its_escapes_and_its_secrets():
    token = "A" * 43
    raw = f"\x1b[2J\x1b[1;1Hboot\x1b[0m dodai_script=http://h/script/{token}\r\n"
    raw += f"Authorization: Bearer {token}\x07\n/first-boot/{token}"
    assert token not in plain(raw)
    assert last_lines(raw) == ["boot dodai_script=http://h/script/•••", "Authorization: Bearer •••", "/first-boot/•••"]


def test_a_line_that_was_overwritten_shows_its_last_form():
    assert last_lines("10 %\r50 %\r100 %\ndone") == ["100 %", "done"]


def unit(name: str, **fields) -> Unit:
    values = {
        "pk": 1, "state": "free", "look": "ready", "words": "Free", "power": "on", "rack": "R1", "unit": 1,
        "cluster": "", "colour": "", "share": 0.0, "is_practice": False, "has_power_error": False,
    }  # fmt: skip
    return Unit(name=name, **values | fields)


def test_racks_are_ordered_as_people_count_and_machines_without_one_come_last():
    racks = racks_of(
        [
            unit("a", rack="R10"),
            unit("b", rack=""),
            unit("c", rack="R2"),
            unit("d", rack="R2", unit=None),
            unit("e", rack="R2", unit=3),
        ]
    )
    assert [rack.name for rack in racks] == ["R2", "R10", "No rack"]
    assert [u.name for u in racks[0].units] == ["c", "e", "d"]


def test_a_rack_is_one_path_a_colour():
    rack = Rack("R1", [unit("a"), unit("b", look="failed"), unit("c")])
    assert rack.paths("state") == {"ready": "M0 0h1v1h-1zM0 2h1v1h-1z", "failed": "M0 1h1v1h-1z"}
    assert rack.has_failed
    assert rack.label == "1 failed, 2 free"


def test_counters_and_cluster_shares():
    units = [
        unit("a", state="in_use", look="installed", cluster="web", colour="#fff"),
        unit("b", look="failed", cluster="web", colour="#fff"),
    ]
    counters = count(units)
    assert (counters.machines, counters.in_use, counters.failed, counters.powered_on) == (2, 1, 1, 2)
    assert clusters_of(units)[0].looks == [("installed", 1, 50.0), ("failed", 1, 50.0)]


def test_signatures_say_what_would_be_lost():
    assert (
        disk_contents(Disk(signatures=[{"type": "ext4", "label": "data"}, {"type": "swap"}, "junk"]))
        == "ext4 “data”, swap"
    )
