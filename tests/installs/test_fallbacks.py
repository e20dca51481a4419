"""What an image goes on with when its method has failed, and when it does not."""

import json

import pytest

from installs import actions, attention, by_hand, effects, ending, fallbacks, flow, plan, ways
from installs.methods import METHODS
from installs.models import Image, Install, Notice, NoticeTarget
from installs.waves import asking, turns
from installs.waves.asking import Rules
from machines.models import Disk, Machine
from tests import installing, manual

THIRD = "tests.third_party.erasing.Erase"


@pytest.fixture
def image(db) -> Image:
    return manual.with_fallbacks()


def failed(install: Install, cause: str = "no-netboot", *, granted: str = "") -> Install:
    if granted:
        from django.utils.timezone import now

        Install.objects.filter(pk=install.pk).update(granted_at=now(), granted_boot_id=granted)
    ending.stop(install.pk, cause=cause, error=f"{cause}, for the test")
    return manual.settle(install)


def started(machine: Machine, image: Image) -> Install:
    install = installing.start(machine, image)
    manual.work()
    return install


def next_of(install: Install) -> Install | None:
    return install.retries.filter(fallback__gt=0).first()


def test_it_goes_on_by_the_next_method_and_says_so(machine, image):
    first = failed(started(machine, image))
    second = next_of(first)
    assert second is not None
    assert (first.state, second.state, second.method, second.fallback) == ("failed", "queued", "manual", 1)
    assert (second.requested_by, second.retry_of) == ("tester", first)
    assert first.events.get(name="fallback").text == f"Goes on as {second}, by the method manual."
    assert second.events.get(name="fallback").text == f"Begun because {first} failed: no-netboot."
    machine.refresh_from_db()
    assert (machine.state, machine.handled_by) == ("installing", str(second))


def test_the_next_attempt_has_a_plan_and_a_digest_of_its_own(machine, image):
    first = failed(started(machine, image))
    second = next_of(first)
    assert second is not None and second.plan_digest != first.plan_digest
    assert second.plan["disk"] == first.plan["disk"] and second.plan["image"]["sha256"] == first.plan["image"]["sha256"]
    assert second.plan["image"]["metadata"] == manual.METADATA
    manual.work()
    by_hand.take(second, by="ann")
    by_hand.done(second, by="ann")
    assert Install.objects.get(pk=second.pk).state == "installed"


def test_the_approved_plan_names_the_chain(machine, image):
    made = plan.for_install(machine, image)
    assert made.frozen["fallbacks"] == [manual.BY_HAND]
    Image.objects.update(fallbacks=[])
    with pytest.raises(actions.Refused, match="the image changed"):
        actions.start_install(machine, Image.objects.get(), by="ann", approved=made.digest)


@pytest.mark.parametrize("cause", [*attention.CAUSES, "memory"])
def test_only_causes_that_the_next_method_may_survive(machine, image, cause):
    never = {"cancelled", "cannot-be-done", "disk", "identity", "own-host", "plan", "protected", "space"}
    never |= {"hand-over", "port", "site-refused", "wrong-host"}
    ended = failed(started(machine, image), cause)
    assert (next_of(ended) is None) == (cause in never)


def test_every_cause_is_decided():
    assert set(attention.CAUSES) - set(fallbacks.CAUSES) == set()


@pytest.mark.parametrize("cause", ["no-netboot", "bmc-silent", "digest", "power"])
def test_what_all_need_is_survived_by_people_alone(cause):
    assert [slug for slug, method in METHODS.items() if fallbacks.survives(method, cause)] == ["manual"]


def test_a_method_that_has_no_chance_is_passed_over(machine, settings):
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, THIRD]
    image = manual.with_fallbacks({"method": "shred", "metadata": {"passes": 1}}, manual.BY_HAND)
    second = next_of(failed(started(machine, image), "no-netboot"))
    assert second is not None and (second.method, second.fallback) == ("manual", 2)


def test_the_third_follows_the_second(machine, settings):
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, THIRD]
    image = manual.with_fallbacks({"method": "shred", "metadata": {"passes": 1}}, manual.BY_HAND)
    second = next_of(failed(started(machine, image), "script", granted="b"))
    assert second is not None and (second.method, second.fallback, second.plan["disk"]["serial"]) == (
        "shred",
        1,
        "DISK1",
    )
    manual.work()
    third = next_of(failed(second, "silent"))
    assert third is not None and (third.method, third.fallback) == ("manual", 2)
    manual.work()
    by_hand.cannot(third, "no", is_untouched=True, by="ann")
    assert next_of(manual.settle(third)) is None
    assert Install.objects.count() == 3


def test_a_fallback_asks_for_its_own_grant_and_gets_it_for_the_confirmed_disk_alone(machine, server, settings):
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, THIRD]
    image = manual.with_fallbacks({"method": "shred", "metadata": {"passes": 1}})
    second = next_of(failed(started(machine, image), "script"))
    manual.work()
    assert server.boot()
    server.say("install")
    other = {"path": "/dev/sdb", "serial": "OTHER", "wwn": "", "size_bytes": 100 << 30, "signatures": []}
    assert "DODAI_GRANTED=no" in server.ask_grant(disk=other)
    assert second is not None and manual.settle(second).cause == "disk"


def test_and_gets_it(machine, server, settings):
    settings.INSTALL_METHODS = [*settings.INSTALL_METHODS, THIRD]
    image = manual.with_fallbacks({"method": "shred", "metadata": {"passes": 1}})
    failed(started(machine, image), "script")
    manual.work()
    assert server.boot()
    server.say("install")
    assert "DODAI_GRANTED=yes" in server.ask_grant()


CHANGES = {
    "disk": lambda: Disk.objects.update(serial="OTHER"),
    "identity": lambda: Machine.objects.update(uuid="12345678-1234-1234-1234-123456789012"),
    "the machine": lambda: Machine.objects.update(serial="OTHER"),
    "layout": lambda: Image.objects.update(swap_mib=9),
    "fallbacks": lambda: Image.objects.update(fallbacks=[manual.BY_HAND, manual.BY_HAND]),
    "image": lambda: Image.objects.update(size_bytes=9),
}


@pytest.mark.parametrize("fact", CHANGES)
def test_what_is_no_longer_as_it_was_approved_goes_on_by_nothing(machine, image, fact):
    install = started(machine, image)
    CHANGES[fact]()
    ended = failed(install)
    assert next_of(ended) is None
    said = ended.events.filter(name="no-fallback").first()
    assert said and said.text == f"No fallback to manual: {fact} changed after the plan was approved"
    assert Machine.objects.get().handled_by == ""


@pytest.mark.parametrize("change", [{"protected": True}, {"state": "aside"}])
def test_a_machine_that_may_not_be_installed_any_more_goes_on_by_nothing(machine, image, change, monkeypatch):
    install = started(machine, image)
    release = ending._release

    def released(given):
        found = release(given)
        for name, value in change.items():
            setattr(found, name, value)
        Machine.objects.filter(pk=found.pk).update(**change)
        return found

    monkeypatch.setattr(ending, "_release", released)
    monkeypatch.setattr(effects, "_after_failure", lambda install, machine: machine.state)
    ended = failed(install)
    assert ended.state == "failed" and next_of(ended) is None


def test_a_fault_in_going_on_keeps_no_install_from_ending(machine, image, monkeypatch):
    install = started(machine, image)
    monkeypatch.setattr(fallbacks, "_begin", lambda *args: json.loads("no json"))
    ended = failed(install)
    assert ended.state == "failed" and Machine.objects.get().handled_by == ""
    assert "a fault in Dodai itself (JSONDecodeError)" in ended.events.get(name="no-fallback").text


def test_a_retired_image_goes_on_by_nothing(machine, image):
    from django.utils.timezone import now

    install = started(machine, image)
    Image.objects.update(retired_at=now())
    assert next_of(failed(install)) is None


def test_cancelled_goes_on_by_nothing(machine, image):
    install = started(machine, image)
    actions.cancel(install, by="ann")
    assert next_of(manual.settle(install)) is None


def test_retry_begins_with_the_images_own_method(machine, image):
    second = next_of(failed(started(machine, image)))
    assert second is not None
    manual.work()
    by_hand.cannot(second, "no stick", is_untouched=True, by="ann")
    again = actions.retry(manual.settle(second), by="ben")
    assert (again.method, again.fallback, again.retry_of) == ("file-tree", 0, second)


def test_retry_refuses_what_changed_since_the_chain_began(machine, image):
    second = next_of(failed(started(machine, image)))
    assert second is not None
    manual.work()
    by_hand.cannot(second, "no stick", is_untouched=True, by="ann")
    Disk.objects.update(serial="OTHER")
    with pytest.raises(actions.Refused, match="disk, image or layout changed"):
        actions.retry(manual.settle(second), by="ben")


def test_a_wave_waits_for_the_end_of_the_chain(machine, image):
    other = installing.make_machine("node2", number=2)
    wave = asking.propose([machine, other], image, Rules(), by="ann")
    asking.approve(wave, approved=asking.plans(wave).digest, by="bea")
    turns.take_all()
    row = wave.machines.get(machine=machine)
    first = row.install
    assert first is not None
    manual.work()
    second = next_of(failed(first))
    row.refresh_from_db()
    assert row.install == second
    turns.take_all()
    wave.refresh_from_db()
    assert wave.state == "running" and wave.machines.get(machine=other).install is None, "its canary is still at it"
    assert second is not None
    manual.work()
    by_hand.done(second, by="ann")
    turns.take_all()
    assert wave.machines.get(machine=other).install is not None


def test_the_notice_of_the_failure_says_how_it_goes_on(machine, image):
    NoticeTarget.objects.create(name="ops", address="https://hooks.example.org/")
    first = failed(started(machine, image))
    second = next_of(first)
    assert second is not None
    assert Notice.objects.get(install=first).payload["data"]["goes_on_as"] == second.pk


def test_a_chain_that_begins_by_hand_names_its_disk_beforehand(machine):
    image = installing.make_image(method="manual", metadata=manual.METADATA)
    assert plan.for_install(machine, image).frozen["disk"] is None
    image.fallbacks = [{"method": "file-tree", "metadata": {}}]
    image.save()
    assert plan.for_install(machine, image).frozen["disk"]["serial"] == "DISK1"
    install = started(machine, image)
    by_hand.take(install, by="ann")
    assert Install.objects.get(pk=install.pk).awaited == "installed", "the plan still holds"


def test_what_keeps_a_fallback_from_being_used_is_said_beforehand(machine):
    image = manual.with_fallbacks({"method": "manual", "metadata": {}}, {"method": "gone", "metadata": {}})
    said = " ".join(plan.for_install(machine, image).warnings)
    assert "As a fallback, By an operator cannot be used: debian has no checklist" in said
    assert "As a fallback, gone cannot be used" in said


@pytest.mark.parametrize(
    ("kind", "method", "offered"),
    [("ext4", "file-tree", ["manual"]), ("raw", "disk-image", ["manual"]), ("", "manual", [])],
)
def test_methods_that_install_such_a_file_or_need_none_are_offered(kind, method, offered):
    found = list(ways.offered(Image(kind=kind, method=method)))
    assert [slug for slug in found if slug != "iscsi"] == offered


def test_flow_knows_nothing_of_fallbacks(machine, image):
    """The chain is made by the end alone: a worker that dies before has made nothing, and after it all is made."""
    install = started(machine, image)
    ending.stop(install.pk, cause="silent", error="x")
    claim = flow._claim()
    assert claim is not None and Install.objects.count() == 1
    ending._ended(claim, left_behind="The machine is off.")
    assert Install.objects.live().count() == 1 and Install.objects.count() == 2
