"""Installs by hand: an operator is called, takes it, and says how it went."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs import actions, by_hand, plan, sweep
from installs.models import Event, Image, Install, Notice, NoticeTarget
from installs.words import event_words, words_for
from machines.models import Machine
from machines.power import fake
from machines.power.base import Power
from tests import installing, manual


@pytest.fixture
def image(db) -> Image:
    return manual.make_image()


@pytest.fixture
def install(machine, image) -> Install:
    """One that waits for an operator."""
    install = installing.start(machine, image)
    manual.work()
    return fresh(install)


def fresh(install: Install) -> Install:
    return Install.objects.select_related("machine", "image").get(pk=install.pk)


def refuses(verb, words: str) -> None:
    with pytest.raises(actions.Refused, match=words):
        verb()


def let_pass(install: Install, **ago: float) -> None:
    moment = now() - timedelta(**ago)
    Install.objects.filter(pk=install.pk).update(quiet_until=moment, give_up_at=moment)
    sweep.sweep()


def test_it_goes_from_the_call_to_done(install):
    assert (install.state, install.awaited) == ("waiting", "taken")
    assert install.operator_task == "node1: install by-hand by hand, by its checklist"
    by_hand.take(install, by="ann")
    assert (fresh(install).awaited, fresh(install).operator_task) == ("installed", install.operator_task)
    by_hand.note(install, "The stick was in rack 7.", by="ann")
    by_hand.done(install, by="ben")
    ended = fresh(install)
    assert (ended.state, ended.confirmed_by, ended.operator_task) == ("installed", "ben", "")
    assert ended.confirmed_at is not None
    assert (ended.machine.state, ended.machine.image_name, ended.machine.handled_by) == ("in_use", "by-hand", "")
    assert "confirmed by ben" in words_for(ended, [None], now=now()).details


def test_dodai_switches_nothing_and_sends_the_machine_to_its_own_disk(install, server):
    fake.states["node1"] = Power.ON
    assert not server.boot()
    by_hand.take(install, by="ann")
    assert not server.boot()
    by_hand.done(install, by="ann")
    assert fake.calls == [] and not install.boots.exists()


def test_the_history_says_who_said_what(install):
    by_hand.take(install, by="ann")
    by_hand.done(install, by="ben")
    said = [(event_words(event), event.by) for event in install.events.exclude(by="")]
    assert said == [("asked for", "tester"), ("taken", "ann"), ("done by hand", "ben")]


def test_done_by_whoever_had_not_taken_it_takes_it_first(install):
    by_hand.done(install, by="ann")
    assert fresh(install).state == "installed"
    assert list(install.events.filter(kind="machine").values_list("name", "by")) == [
        ("taken", "ann"),
        ("installed", "ann"),
    ]


def test_two_of_them_do_not_take_it_both(install):
    by_hand.take(install, by="ann")
    refuses(lambda: by_hand.take(install, by="ben"), "ann has taken it already")


def test_cannot_be_done_fails_in_the_operators_words(install):
    by_hand.take(install, by="ann")
    by_hand.cannot(install, "  The cage is locked. ", is_untouched=False, by="ann")
    ended = manual.settle(install)
    assert (ended.state, ended.cause, ended.error) == ("failed", "cannot-be-done", "The cage is locked.")
    assert ended.left_behind == "The machine was left as it is. The operator may have written its disks."
    assert Event.objects.get(install=install, name="stop").by == "ann"


@pytest.mark.parametrize(
    ("takes", "is_untouched", "was_kept"), [(True, True, True), (True, False, False), (False, False, True)]
)
def test_the_machine_is_what_it_was_only_where_nothing_was_written(machine, image, takes, is_untouched, was_kept):
    Machine.objects.update(state="in_use", image_name="older")
    install = installing.start(Machine.objects.get(), image)
    manual.work()
    if takes:
        by_hand.take(install, by="ann")
    by_hand.cannot(install, "no", is_untouched=is_untouched, by="ann")
    ended = manual.settle(install)
    assert ("No disk was written" in ended.left_behind) == was_kept
    kept = Machine.objects.get()
    assert (kept.state, kept.image_name) == (("in_use", "older") if was_kept else ("free", ""))


def test_nobody_who_answers_is_a_failure_with_a_cause(install):
    let_pass(install, seconds=1)
    ended = manual.settle(install)
    assert (ended.state, ended.cause) == ("failed", "no-operator")
    assert ended.error == "node1: no operator took it on for 30 min. Nothing was written."


def test_an_operator_who_never_says_how_it_went_is_one_too(install):
    by_hand.take(install, by="ann")
    deadline = fresh(install).give_up_at
    assert timedelta(minutes=119) < deadline - now() <= timedelta(minutes=120)
    let_pass(install, seconds=1)
    ended = manual.settle(install)
    assert (ended.cause, ended.error) == (
        "no-operator", "node1: the operator who took it on did not say how it went for 120 min."
    )  # fmt: skip
    assert "may have written" in ended.left_behind


def test_what_has_ended_takes_no_word_any_more(install):
    actions.cancel(install, by="ann")
    for verb in (
        lambda: by_hand.take(install, by="ben"),
        lambda: by_hand.note(install, "late", by="ben"),
        lambda: by_hand.done(install, by="ben"),
        lambda: by_hand.cannot(install, "late", is_untouched=True, by="ben"),
    ):
        refuses(verb, "nothing to do by hand now")
        ended = manual.settle(install)
        refuses(verb, "nothing to do by hand now")
    assert (ended.state, ended.os_seen_late) == ("cancelled", False)


def test_empty_words_are_no_reason(install):
    refuses(lambda: by_hand.cannot(install, " \0 ", is_untouched=True, by="ann"), "Write some words first")
    refuses(lambda: by_hand.note(install, "", by="ann"), "Write some words first")
    assert fresh(install).state == "waiting" and not install.events.filter(name="untouched").exists()


@pytest.mark.parametrize("verb", [by_hand.take, by_hand.done])
def test_who_protected_it_meanwhile_ends_it_before_it_is_taken(install, verb):
    Machine.objects.update(protected=True)
    refuses(lambda: verb(install, by="ann"), "was protected meanwhile")
    ended = manual.settle(install)
    assert (ended.state, ended.cause) == ("failed", "protected")
    assert ended.left_behind == "The machine was left as it is. No disk was written."


def test_another_checklist_than_approved_is_not_taken(install, image):
    Image.objects.update(metadata=manual.METADATA | {"checklist": "something else"})
    refuses(lambda: by_hand.take(install, by="ann"), "the image changed after the plan was approved")
    assert manual.settle(install).cause == "plan"


def test_a_machine_that_nobody_could_look_into_can_be_installed_by_hand(db, image):
    machine = Machine.objects.create(name="dark", site=installing.main_site(), state="new")
    assert plan.for_install(machine, image).problems == []
    machine.protected = True
    machine.save()
    assert "dark is protected" in plan.for_install(machine, image).problems[0]


def test_an_image_without_a_checklist_installs_nothing(machine, db):
    empty = Image.objects.create(name="empty", method="manual", metadata={"checklist": " "})
    assert "empty has no checklist" in " ".join(plan.for_install(machine, empty).problems)


def test_other_methods_take_no_word_of_operators(machine, steps):
    install = installing.start(machine)
    steps()
    refuses(lambda: by_hand.done(install, by="ann"), "nothing to do by hand")
    assert fresh(install).state == "waiting"


@pytest.mark.parametrize("first", ["mail", "webhook"])
def test_they_are_told_once(machine, image, first):
    address = "ops@example.org" if first == "mail" else "https://hooks.example.org/"
    NoticeTarget.objects.create(name="ops", kind=first, address=address)
    NoticeTarget.objects.create(name="deaf", kind=first, address=address, on_operator=False)
    install = installing.start(machine, image)
    manual.work()
    by_hand.take(install, by="ann")
    notice = Notice.objects.get(kind="install.operator")
    said = notice.payload["data"]
    assert (notice.target.name, said["task"]) == ("ops", "node1: install by-hand by hand, by its checklist")
    assert said["url"].endswith(f"/installs/{install.pk}/task/") and said["deadline"]


def test_the_mail_says_what_to_do(install):
    from installs.notices.words import payload_of, subject_of, text_of

    payload = payload_of(install, Notice.Kind.OPERATOR)
    assert subject_of(payload) == "Dodai: node1 waits for an operator"
    text = text_of(payload)
    assert text.startswith("node1: install by-hand by hand, by its checklist\n") and "/task/" in text


def test_a_machine_without_a_bmc_calls_an_operator_too(db):
    NoticeTarget.objects.create(name="ops", address="https://hooks.example.org/")
    install = installing.start(installing.make_machine(driver="manual"))
    manual.work()
    assert fresh(install).awaited == "install"
    said = Notice.objects.get(kind="install.operator").payload["data"]
    assert "switch it on by hand" in said["task"] and said["url"].endswith(f"/installs/{install.pk}/")


def test_those_who_wait_for_people_take_no_place_from_the_others(machine, image, monkeypatch, steps):
    monkeypatch.setattr("installs.flow.PARALLEL_INSTALLS", 1)
    first = installing.start(machine, image)
    second = installing.start(installing.make_machine("node2", number=2), installing.make_image())
    third = installing.start(installing.make_machine("node3", number=3), image)
    steps()
    assert [fresh(each).state for each in (first, second, third)] == ["waiting"] * 3
