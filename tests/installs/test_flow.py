"""The engine: what workers, machines, time and operators do to installs, in any order."""

import subprocess
from datetime import timedelta

import django_rq
import pytest
from django.db import IntegrityError
from django.utils.timezone import now

from installs import actions, ending, flow, lifecycle, sweep
from installs.claim import Claim, ClaimLost
from installs.lifecycle import ENDED, LIVE, State
from installs.methods import METHODS
from installs.methods.base import Next
from installs.methods.file_tree import FileTree
from installs.methods.ramdisk import RamdiskMethod
from installs.models import Event, Image, Install
from machines.models import Beat, Machine
from machines.power import fake
from machines.power.base import Power, PowerError, PowerRefused
from tests import installing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def install(machine, work) -> Install:
    """An install that waits for its machine to boot from the network."""
    install = installing.start(machine)
    work()
    return fresh(install)


def fresh(install: Install) -> Install:
    return Install.objects.select_related("machine").get(pk=install.pk)


def later(**columns: object) -> None:
    Install.objects.update(**columns)


def past(seconds: float = 1):
    return now() - timedelta(seconds=seconds)


def test_an_install_runs_to_its_end(install, server, work):
    assert (install.state, install.awaited) == ("waiting", "install")
    assert server.boot()
    assert server.say("install", installing.facts_of(server.machine, server.boot_id)) == "applied"
    granted = server.ask_grant()
    assert "DODAI_GRANTED=yes" in granted
    server.say("progress", {"phase": "fetch", "done_bytes": 10, "total_bytes": 100})
    assert server.say("install_reboot") == "applied"
    work()
    assert fresh(install).awaited == "installed"
    assert server.finish_first_boot(granted) == "applied"
    work()
    ended = fresh(install)
    assert (ended.state, ended.confirmed_at is not None, ended.machine.state) == ("installed", True, "in_use")
    assert (ended.machine.image_name, ended.machine.handled_by) == ("debian", "")
    assert [call for _, call in fake.calls if call not in ("state",)] == [
        "boot from network", "on", "boot from disk for ever", "reset",
    ]  # fmt: skip


def test_each_power_command_is_a_step_of_its_own():
    """So that a worker that dies between two of them repeats one, not both."""
    assert {"power_off", "set_boot", "power_on", "reset"} <= set(FileTree.steps)


def test_a_machine_that_is_on_is_switched_off_first(machine, work):
    fake.states["node1"] = Power.ON
    install = installing.start(machine)
    work()
    assert fresh(install).look_again_at is not None
    later(look_again_at=past())
    sweep.sweep()
    work()
    assert fresh(install).awaited == "install"
    assert ("node1", "off") in fake.calls


def test_a_step_does_not_begin_twice_when_the_job_runs_twice(machine, work):
    install = installing.start(machine)
    for _ in range(5):
        django_rq.enqueue("installs.jobs.look")
    work()
    assert [call for _, call in fake.calls].count("on") == 1
    assert fresh(install).awaited == "install"


def test_a_lost_job_is_rung_again_by_the_sweep(machine, work, queue):
    install = installing.start(machine)
    queue.connection.flushall()
    work()
    assert fresh(install).state == "queued"
    sweep.sweep()
    work()
    assert fresh(install).awaited == "install"


def test_a_machine_that_calls_before_its_step_has_ended_is_heard(machine, server, work):
    """The worker is still in power_on when the machine, quick, has already said `install`."""
    install = installing.start(machine)

    def call_at_once(name: str, what: str) -> None:
        if what == "on":
            assert server.boot()
            server.say("install", {})

    fake.listeners.append(call_at_once)
    work()
    assert (fresh(install).state, fresh(install).awaited) == ("waiting", "install_reboot")


def test_a_lost_event_does_not_hang_an_install_whose_next_event_came(install, server, work):
    server.boot()
    server.ask_grant()
    assert server.say("install_reboot") == "applied"
    work()
    assert fresh(install).awaited == "installed"
    assert server.say("install") == "late"
    assert fresh(install).awaited == "installed"


def test_the_os_calling_early_ends_the_install_without_another_reset(install, server, work):
    server.boot()
    granted = server.ask_grant()
    assert server.finish_first_boot(granted) == "applied"
    work()
    assert fresh(install).state == "installed"
    assert ("node1", "reset") not in fake.calls


def test_the_same_event_twice_is_a_duplicate_and_moves_nothing(install, server, work):
    server.boot()
    assert [server.say("install") for _ in range(3)] == ["applied", "duplicate", "duplicate"]
    event = install.events.get(kind=Event.Kind.MACHINE, name="install")
    assert (event.repeated, fresh(install).awaited) == (2, "install_reboot")


def test_a_killed_workers_install_goes_on_before_its_lease_is_over(machine, monkeypatch):
    install = installing.start(machine)
    flow.begin_next()
    killed = subprocess.Popen(["sleep", "600"])
    monkeypatch.setattr("os.getpid", lambda: killed.pid)
    monkeypatch.setattr(flow, "_work_on", lambda claim: None)  # killed right after its claim
    assert flow.run_due()
    sweep.sweep()
    assert not flow.run_due(), "its worker lives, and so does the lease"
    killed.kill()
    killed.wait()
    monkeypatch.undo()
    fence = fresh(install).fence
    sweep.sweep()
    assert flow.run_due()
    assert fresh(install).fence == fence + 1


def test_a_worker_that_lost_its_claim_stores_nothing(machine, monkeypatch, work):
    """It froze in its step; the lease ran out, another worker did the step and the next ones."""
    install = installing.start(machine)
    flow.begin_next()

    def frozen(method, claim: Claim):
        monkeypatch.undo()
        later(lease_until=past())
        while flow.run_due():
            pass
        return Next()

    monkeypatch.setattr(RamdiskMethod, "power_off", frozen)
    flow.run_due()
    assert (fresh(install).state, fresh(install).awaited, fresh(install).step) == ("waiting", "install", 4)


def test_a_worker_that_lost_its_claim_has_no_effect(machine, monkeypatch):
    installing.start(machine)
    flow.begin_next()

    def frozen(method, claim: Claim):
        later(lease_until=past(), fence=99, owner="somebody else")
        claim.power.off()
        raise AssertionError("the command left although the claim was lost")

    monkeypatch.setattr(RamdiskMethod, "power_off", frozen)
    flow.run_due()
    assert ("node1", "off") not in fake.calls


def test_a_cancelled_install_has_no_further_effect_from_a_worker_in_mid_step(machine, monkeypatch):
    install = installing.start(machine)
    flow.begin_next()

    def cancelled_meanwhile(method, claim: Claim):
        actions.cancel(install, by="tester")
        with pytest.raises(ClaimLost):
            claim.power.on()
        return Next()

    monkeypatch.setattr(RamdiskMethod, "power_off", cancelled_meanwhile)
    flow.run_due()
    assert fresh(install).state == "stopping"


def test_a_dead_workers_install_goes_on_when_its_lease_is_over(machine, monkeypatch, work):
    install = installing.start(machine)
    flow.begin_next()
    monkeypatch.setattr(flow, "_work_on", lambda claim: None)  # killed right after its claim
    assert flow.run_due()
    assert not flow.run_due(), "the lease still holds"
    monkeypatch.undo()
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)
    later(lease_until=past())
    sweep.sweep()
    work()
    assert fresh(install).awaited == "install"


def test_a_silent_machine_fails_its_install_and_says_where(install, server, work):
    server.boot()
    server.say("install")
    server.say("progress", {"phase": "copy", "done_bytes": 5, "total_bytes": 9})
    later(quiet_until=past())
    sweep.sweep()
    assert fresh(install).state == "stopping"
    fake.states["node1"] = Power.ON
    work()
    later(look_again_at=past())
    work_until_ended(install, work)
    ended = fresh(install)
    assert (ended.state, ended.cause) == ("failed", "silent")
    assert "during copy" in ended.error
    assert ended.left_behind == "The machine is off. No disk was written."
    assert fake.states["node1"] == Power.OFF


def work_until_ended(install: Install, work) -> None:
    for _ in range(10):
        later(look_again_at=past())
        sweep.sweep()
        work()
        if fresh(install).state in ENDED:
            return


def test_talking_does_not_help_past_the_cap(install, server, work):
    server.boot()
    server.say("install")
    later(give_up_at=past())
    server.say("progress", {"phase": "copy", "done_bytes": 5, "total_bytes": 9})
    sweep.sweep()
    assert fresh(install).state == "stopping"


def test_progress_lengthens_the_silence(install, server):
    server.boot()
    server.say("install")
    later(quiet_until=now() + timedelta(seconds=1))
    server.say("progress", {"phase": "copy", "done_bytes": 5, "total_bytes": 9})
    assert fresh(install).quiet_until > now() + timedelta(minutes=2)


@pytest.mark.parametrize(("more", "long_ago", "stored"), [(1, 0, False), (10, 0, True), (1, 1, True)])
def test_little_progress_is_stored_once_in_half_a_second(install, server, more, long_ago, stored):
    """Of 1,000 bytes: a hundredth is stored at once."""
    server.boot()
    server.say("install")
    for done in (100, 200):  # the first of a phase, and a usual one
        server.say("progress", {"phase": "copy", "done_bytes": done, "total_bytes": 1000})
    later(progress_at=now() - timedelta(seconds=long_ago) if long_ago else now() + timedelta(hours=1))
    assert server.say("progress", {"phase": "copy", "done_bytes": 200 + more, "total_bytes": 1000}) == "applied"
    assert fresh(install).done_bytes == (200 + more if stored else 200)


def test_progress_never_goes_back(install, server):
    server.boot()
    server.say("install")
    server.say("progress", {"phase": "fetch", "done_bytes": 90, "total_bytes": 90})
    server.say("progress", {"phase": "copy", "done_bytes": 50, "total_bytes": 90})
    assert server.say("progress", {"phase": "copy", "done_bytes": 40, "total_bytes": 90}) == "late"
    assert server.say("progress", {"phase": "fetch", "done_bytes": 90, "total_bytes": 90}) == "late"
    assert (fresh(install).phase, fresh(install).done_bytes) == ("copy", 50)


def test_stopping_ends_even_when_the_bmc_never_answers(install, server, work):
    server.boot()
    server.say("install")

    def dead(name: str, what: str) -> None:
        raise PowerError("node1: the BMC does not answer")

    fake.listeners.append(dead)
    actions.cancel(install, by="tester")
    work()
    assert fresh(install).state == "stopping"
    later(give_up_at=past(), look_again_at=past())
    sweep.sweep()
    work()
    ended = fresh(install)
    assert ended.state == "cancelled"
    assert "Could not verify" in ended.left_behind


def test_a_machine_that_booted_nothing_of_ours_is_not_switched_off(install, work):
    """Its old OS may be running: a cancel before the network boot must not harm it."""
    actions.cancel(install, by="tester")
    fake.calls.clear()
    work()
    assert (fresh(install).state, fake.calls) == ("cancelled", [])


def test_a_failure_the_machine_reports_keeps_its_last_lines(install, server, work):
    server.boot()
    server.say("install")
    report = {
        "cause": "digest",
        "message": "the image has another digest",
        "phase": "verify",
        "line": 12,
        "output": "abc",
    }
    server.say("failed", report)
    work_until_ended(install, work)
    ended = fresh(install)
    assert (ended.state, ended.cause, ended.failed_step) == ("failed", "digest", "copy")
    assert "line 12" in ended.error_detail
    assert "abc" in ended.error_detail
    assert ended.machine.state == "free"


def test_a_power_error_is_tried_again_and_then_fails_with_its_message(machine, work):
    def busy(name: str, what: str) -> None:
        raise PowerError("node1: the BMC is busy")

    fake.listeners.append(busy)
    install = installing.start(machine)
    work()
    for tries in range(1, flow.POWER_TRIES):
        assert fresh(install).tries == tries
        later(look_again_at=past())
        sweep.sweep()
        work()
    work_until_ended(install, work)
    assert (fresh(install).state, fresh(install).cause) == ("failed", "bmc-silent")
    assert "the BMC is busy" in fresh(install).error


def test_a_refused_password_fails_at_once(machine, work):
    def refuse(name: str, what: str) -> None:
        raise PowerRefused("node1: the BMC refused the password")

    fake.listeners.append(refuse)
    install = installing.start(machine)
    work_until_ended(install, work)
    assert (fresh(install).cause, fresh(install).tries) == ("bmc-refused", 0)


def test_a_fault_in_a_step_fails_the_install_and_says_so(machine, work, monkeypatch):
    monkeypatch.setattr(RamdiskMethod, "set_boot", lambda self, claim: 1 / 0)
    install = installing.start(machine)
    work_until_ended(install, work)
    assert (fresh(install).state, fresh(install).cause) == ("failed", "bug")
    assert "ZeroDivisionError" in fresh(install).error


def test_down_time_of_dodai_moves_the_deadlines(install):
    before = fresh(install)
    sweep.beat()
    beat = Beat.objects.get(pk=sweep.WATCHDOG)
    Beat.objects.update(at=beat.at - timedelta(hours=1), boot_seconds=beat.boot_seconds - 3600)
    sweep.beat()
    assert fresh(install).quiet_until - before.quiet_until >= timedelta(minutes=59)
    assert fresh(install).events.filter(name="dodai-down").exists()


def test_down_time_of_dodai_puts_off_no_look(install):
    sweep.beat()
    soon = now() + timedelta(seconds=5)
    Install.objects.filter(pk=install.pk).update(look_again_at=soon)
    beat = Beat.objects.get(pk=sweep.WATCHDOG)
    Beat.objects.update(at=beat.at - timedelta(seconds=60), boot_seconds=beat.boot_seconds - 60)
    sweep.beat()
    assert fresh(install).look_again_at == soon


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_step_moves_the_deadlines(install, hours):
    before = fresh(install)
    sweep.beat()
    beat = Beat.objects.get(pk=sweep.WATCHDOG)
    Beat.objects.update(at=beat.at - timedelta(hours=hours))  # the wall clock jumped, the boot clock did not
    sweep.beat()
    moved = fresh(install).quiet_until - before.quiet_until
    assert abs(moved - timedelta(hours=hours)) < timedelta(minutes=5)


def test_a_machine_that_goes_off_is_not_waited_for(install, server):
    server.boot()
    server.say("install")
    moment = now()
    later(waits_since=moment - timedelta(seconds=30))
    Machine.objects.update(power_state="off", power_since=moment - timedelta(seconds=10), power_seen_at=moment)
    sweep.sweep()
    assert (fresh(install).state, fresh(install).cause) == ("stopping", "power-lost")


def test_one_reading_of_off_is_not_believed(install, server):
    server.boot()
    server.say("install")
    moment = now()
    later(waits_since=moment - timedelta(seconds=30))
    Machine.objects.update(power_state="off", power_since=moment, power_seen_at=moment)
    sweep.sweep()
    assert fresh(install).state == "waiting"


def test_a_late_call_of_the_os_is_noted_and_changes_no_end(install, server, work):
    server.boot()
    granted = server.ask_grant()
    server.say("install_reboot")
    work()
    later(quiet_until=past())
    sweep.sweep()
    later(give_up_at=past())  # of the last look, which no worker had
    sweep.sweep()
    work_until_ended(install, work)
    assert (fresh(install).state, fresh(install).cause) == ("failed", "no-first-boot")
    assert "did not call for 15 min" in fresh(install).error
    assert server.finish_first_boot(granted) == "late"
    assert (fresh(install).state, fresh(install).os_seen_late) == ("failed", True)


def test_without_a_grant_the_machine_is_again_what_it_was(machine, work):
    Machine.objects.update(state="in_use", image_name="old")
    machine.refresh_from_db()
    install = installing.start(machine)
    actions.cancel(install, by="tester")
    work_until_ended(install, work)
    machine.refresh_from_db()
    assert (machine.state, machine.image_name) == ("in_use", "old")


def test_one_live_install_per_machine(install):
    with pytest.raises(actions.Refused, match="in the hands of install"):
        installing.start(install.machine)
    with pytest.raises(IntegrityError):
        Install.objects.create(machine=install.machine, method="file-tree", plan_digest="x", requested_by="x")


def test_a_queue_that_is_full_says_so_by_waiting(machine, monkeypatch, work):
    monkeypatch.setattr(flow, "PARALLEL_INSTALLS", 1)
    first = installing.start(machine)
    second = installing.start(installing.make_machine("node2", number=2))
    work()
    assert (fresh(first).state, fresh(second).state) == ("waiting", "queued")
    actions.cancel(first, by="tester")
    work_until_ended(first, work)
    sweep.sweep()
    work()
    assert fresh(second).state == "waiting"


def test_a_machine_without_bmc_asks_its_operator(work):
    machine = installing.make_machine("hand", driver="manual", number=3)
    install = installing.start(machine)
    work()
    waiting = fresh(install)
    assert (waiting.state, waiting.awaited) == ("waiting", "install")
    assert "by hand" in waiting.operator_task
    assert waiting.quiet_until > now() + timedelta(hours=1)


def test_a_retry_is_a_new_attempt_that_names_the_old_one(install, work):
    actions.cancel(install, by="tester")
    work_until_ended(install, work)
    again = actions.retry(fresh(install), by="tester")
    assert (again.retry_of, again.pk != install.pk, fresh(install).state) == (install, True, "cancelled")


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", lifecycle.TRANSITIONS)
def test_only_the_table_allows_a_change(state, event):
    sources, target = lifecycle.TRANSITIONS[event]
    if state in sources:
        assert lifecycle.after(state, event) == target
    else:
        with pytest.raises(lifecycle.NotAllowed):
            lifecycle.after(state, event)


def test_every_live_state_has_a_way_to_an_end():
    for state in LIVE:
        reached, grown = {state}, True
        while grown:
            found = {to for sources, to in lifecycle.TRANSITIONS.values() if sources & reached}
            grown, reached = not found <= reached, reached | found
        assert reached & ENDED, state


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.slug)
def test_every_step_named_exists(method):
    assert all(callable(getattr(method, step, None)) for step in method.steps)
    assert set(method.waits) <= set(method.steps)


def test_an_ended_install_takes_no_stop(install, work):
    actions.cancel(install, by="tester")
    work_until_ended(install, work)
    assert not ending.stop(install.pk, cause="x", error="x")
    with pytest.raises(actions.Refused, match="nothing to cancel"):
        actions.cancel(install, by="tester")


def test_an_approved_plan_that_grew_old_is_refused(machine):
    image = installing.make_image()
    with pytest.raises(actions.Refused, match=r"layout, the way .* changed since"):
        actions.start_install(machine, image, by="tester", approved="0" * 64)
    assert not Image.objects.get(pk=image.pk).installs.exists()


def test_a_machine_protected_while_queued_is_not_switched_off(machine, work):
    fake.states["node1"] = Power.ON
    install = installing.start(machine)
    Machine.objects.update(protected=True)
    work_until_ended(install, work)
    assert (fresh(install).state, fresh(install).cause) == ("failed", "protected")
    assert fake.states["node1"] == Power.ON


def test_a_restart_wanted_without_a_grant_moves_nothing(install, server, work):
    """It wrote nothing: an install must not go on as if it had, nor be ended without switching the writer off."""
    server.boot()
    server.say("install")
    assert server.say("install_reboot", status=404) == "unknown"
    assert fresh(install).awaited == "install_reboot"


def test_a_delayed_request_for_the_grant_does_not_void_the_token_on_the_disk(install, server, work):
    server.boot()
    granted = server.ask_grant()
    server.say("install_reboot")
    server.ask_grant(status=410)
    work()
    assert server.finish_first_boot(granted) == "applied"


def test_a_step_whose_effect_was_seen_is_not_done_again(install, server, work, monkeypatch):
    """The worker died right after its reset; the OS has called before its lease was over."""
    server.boot()
    granted = server.ask_grant()
    server.say("install_reboot")
    while fresh(install).step < FileTree.steps.index("reset"):
        flow.run_due()
    monkeypatch.setattr(flow, "_work_on", lambda claim: None)
    flow.run_due()
    monkeypatch.undo()
    server.finish_first_boot(granted)
    fake.calls.clear()
    later(lease_until=past())
    sweep.sweep()
    work()
    assert fresh(install).state == "installed"
    assert ("node1", "reset") not in fake.calls


def test_the_call_of_the_os_during_stopping_is_kept(install, server, work):
    server.boot()
    granted = server.ask_grant()
    server.say("install_reboot")
    work()
    actions.cancel(fresh(install), by="tester")
    assert server.finish_first_boot(granted) == "late"
    assert fresh(install).os_seen_late


def test_stopping_ends_whatever_goes_wrong(install, server, work, monkeypatch):
    server.boot()
    server.say("install")
    monkeypatch.setattr("installs.claim.driver_for", lambda endpoint: 1 / 0)
    actions.cancel(install, by="tester")
    work()
    later(give_up_at=past(), look_again_at=past())
    sweep.sweep()
    work()
    assert fresh(install).state == "cancelled"
    assert "ZeroDivisionError" in fresh(install).left_behind


def test_a_machine_cannot_name_a_cause_that_spares_it_the_power_off(install, server, work):
    server.boot()
    server.ask_grant()
    server.say("failed", {"cause": "identity", "message": "leave me on"})
    assert (fresh(install).cause, fresh(install).power_off_to_stop) == ("script", True)


def test_a_retry_wipes_nothing_that_was_not_approved(install, work):
    actions.cancel(install, by="tester")
    work_until_ended(install, work)
    machine = fresh(install).machine
    machine.disks.update(is_root=False)
    machine.disks.create(serial="DATA", size_bytes=1 << 40, path="/dev/sdb", is_root=True)
    with pytest.raises(actions.Refused, match="look at the new plan"):
        actions.retry(fresh(install), by="tester")


def test_without_a_queue_the_watchdog_works_itself(machine, queue):
    install = installing.start(machine)
    queue.connection.flushall()
    flow.begin_next()
    for _ in range(3):
        later(give_up_at=now() + flow.STEP_CAP - timedelta(seconds=10))
        sweep.sweep()
        queue.connection.flushall()
    assert fresh(install).awaited == "install"


def test_an_edit_of_the_inventory_leaves_the_engines_columns_alone(machine):
    old = Machine.objects.get(pk=machine.pk)
    installing.start(machine)
    old.notes = "edited"
    old.save()
    now_row = Machine.objects.get(pk=machine.pk)
    assert (now_row.state, bool(now_row.handled_by), now_row.notes) == ("installing", True, "edited")


@pytest.mark.parametrize("body", [{"message": "\ud800 \x00"}, {"phase": "copy", "done_bytes": 1 << 80}])
def test_hostile_text_and_numbers_are_stored_or_refused_without_a_fault(install, server, body):
    server.boot()
    server.say("install")
    server.say("progress", {"phase": "copy", "done_bytes": 1})
    later(progress_at=past(0.3))
    assert server.say("progress" if "phase" in body else "failed", body) == "applied"
