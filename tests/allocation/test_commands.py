"""allocate and pool, at the command line."""

import io
from contextlib import nullcontext

import pytest
from django.core.management import CommandError, call_command

from installs.allocation import asking
from installs.models import Allocation, Install, PoolLevel
from machines.models import Machine
from tests import pooling

pytestmark = pytest.mark.django_db


def said(*words, fails=False, **options):
    out = io.StringIO()
    with pytest.raises(CommandError) if fails else nullcontext():
        call_command(*words, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def names(asked):
    return asked.type.name, asked.image.name, asked.cluster.name


def test_the_plan_is_shown_and_the_number_of_disks_is_typed(names, asked, fleet, monkeypatch):
    fleet(4)
    Machine.objects.filter(name="node1").update(protected=True)
    monkeypatch.setattr("builtins.input", lambda question: "2" if ", 2:" in question else "no")
    words = said("allocate", *names, "1", "--spares", "1", "--why-not")
    assert "node2                    installed; will be wiped: DISK2" in words
    assert "node3                    spare" in words
    assert "node1                    not taken: It is protected." in words
    assert "node4                    not taken: It would do, but others come first." in words
    assert f"allocation {Allocation.objects.get().pk} has begun" in words


def test_where_machines_are_missing_it_says_why_without_being_asked(names, fleet):
    fleet(2)
    Machine.objects.filter(name="node1").update(unerased=True)
    words = said("allocate", *names, "2", "--confirm", "of-another-plan", fails=True)
    assert "1 of 2 cannot be had now" in words
    assert "node1                    not taken: Its disks have to be erased first." in words


@pytest.mark.parametrize("typed", ["1", "", "yes"])
def test_another_number_starts_nothing(names, fleet, monkeypatch, typed):
    fleet(2)
    monkeypatch.setattr("builtins.input", lambda question: typed)
    with pytest.raises(CommandError, match="nothing was started"):
        said("allocate", *names, "2")
    assert not Allocation.objects.exists()


def test_a_digest_confirms_exactly_its_plan(names, asked, fleet):
    fleet(2)
    digest = asking.propose(asked).digest
    with pytest.raises(CommandError, match="not the one with this digest"):
        said("allocate", *names, "1", "--confirm", digest)
    said("allocate", *names, "2", "--confirm", digest)
    assert Install.objects.live().count() == 2


def test_waiting_ends_with_what_became_of_it(names, asked, fleet, monkeypatch):
    fleet(1)
    digest = asking.propose(asked).digest

    def time_passes(seconds):
        from installs.allocation import turns

        for install in Install.objects.live():
            pooling.fail(install)
        turns.take_all()

    monkeypatch.setattr("installs.management.commands.allocate.time.sleep", time_passes)
    with pytest.raises(CommandError, match=r"is failed. Failed: node1 \(silent: it was to fail\)"):
        said("allocate", *names, "2", "--confirm", digest, "--wait")


@pytest.mark.parametrize(("number", "what"), [(0, "machine type 'm9'"), (1, "image 'm9'"), (2, "cluster 'm9'")])
def test_names_that_nothing_has_are_said(names, fleet, number, what):
    wrong = [*names]
    wrong[number] = "m9"
    with pytest.raises(CommandError, match=f"there is no {what}"):
        said("allocate", *wrong, "1")


def test_nothing_to_be_had_is_said(names):
    with pytest.raises(CommandError, match="No machine of the type m1 can be had now"):
        said("allocate", *names, "1")


def test_levels_are_set_listed_and_removed(names, image, fleet):
    (machine,) = fleet(1)
    assert said("pool", "set", "m1", image.name, "2") == "2 of m1 with debian are kept warm\n"
    pooling.warm(machine, image)
    words = said("pool", "status")
    assert "1 of 2 warm, 0 being installed" in words and "node1" in words
    said("pool", "remove", "m1", image.name)
    assert not PoolLevel.objects.exists()
    with pytest.raises(CommandError, match="there is no such level"):
        said("pool", "remove", "m1", image.name)


def test_a_level_that_nobody_means_is_refused(names, image):
    with pytest.raises(CommandError, match="Choose a level from 0 to 200"):
        said("pool", "set", "m1", image.name, "500")


@pytest.fixture
def used(fleet):
    machines = fleet(2)
    Machine.objects.update(state="in_use", image_name="debian")
    return machines


def test_machines_are_released_given_back_and_erased(used, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: "2")
    words = said("release", "node1", "node2", "--keep-minutes", "5")
    first, second = Install.objects.order_by("pk")
    assert words.count("has begun") == 2 and (first.method, first.plan["told"]) == ("release", {"keep_minutes": 5})
    for install in (first, second):
        pooling.succeed(install)
    said("release", "node1", "--undo")
    said("release", "node2", "--erase", "--yes")
    assert [*Install.objects.live().order_by("pk").values_list("method", flat=True)] == ["undo-release", "erase"]


def test_a_release_that_is_not_confirmed_begins_nothing(used, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: "1")
    with pytest.raises(CommandError, match="nothing was begun"):
        said("release", "node1", "node2")
    assert not Install.objects.exists()


def test_what_cannot_be_released_is_said_and_the_others_are(used):
    Machine.objects.filter(name="node1").update(protected=True)
    err = io.StringIO()
    with pytest.raises(CommandError, match="1 of 2 were refused"):
        said("release", "node1", "node2", "--yes", stderr=err)
    assert "node1 is protected" in err.getvalue()
    assert Install.objects.get().machine.name == "node2"
