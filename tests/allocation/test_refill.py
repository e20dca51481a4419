"""The pool is filled to its levels, and no further."""

import re
from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs import actions
from installs.allocation import pool, refill
from installs.models import Install, PoolLevel
from machines import upkeep
from machines.models import Machine
from tests import pooling
from tests.allocation.test_asking import patient
from tests.installs.test_races import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def level(kind, image):
    return pool.set_level(kind, image, 3, at_once=2, by="ada")


def live():
    return [*Install.objects.live().order_by("machine__name").values_list("machine__name", flat=True)]


def test_free_machines_are_installed_as_many_at_once_as_allowed(level, fleet):
    fleet(5)
    refill.take_all()
    refill.take_all()
    assert live() == ["node1", "node2"]
    pooling.succeed(Install.objects.live().first())
    refill.take_all()
    assert len(live()) == 2
    for install in Install.objects.live():
        pooling.succeed(install)
    refill.take_all()
    assert live() == [] and Machine.objects.filter(state="warm").count() == 3
    assert pool.stock(level).missing == 0
    assert all(install.is_for_pool and install.requested_by == "the pool" for install in Install.objects.all())


def test_what_is_taken_out_is_filled_up(level, fleet):
    machines = fleet(4)
    for machine in machines[:3]:
        pooling.warm(machine, level.image)
    refill.take_all()
    assert live() == []
    Machine.objects.filter(name="node1").update(state="in_use")
    refill.take_all()
    assert live() == ["node4"]


def test_an_older_state_of_the_image_is_installed_anew_first(level, fleet):
    machines = fleet(4)
    for machine in machines[:3]:
        pooling.warm(machine, level.image)
    level.image.sha256 = "cd" * 32
    level.image.save()
    (found := pool.stock(PoolLevel.objects.get()))
    assert (len(found.current), len(found.outdated)) == (0, 3)
    from django.conf import settings

    (settings.DATA / "images" / level.image.sha256).touch()
    refill.take_all()
    assert live() == ["node1", "node2"]


@pytest.mark.parametrize("change", [{"reserved_for": "bob"}, {"protected": True}, {"owner": "bob"}, {"unerased": True}])
def test_an_older_one_of_somebody_is_left_alone_and_holds_up_no_other(level, fleet, change):
    from django.conf import settings

    machines = fleet(3)
    pooling.warm(machines[0], level.image)
    level.image.sha256 = "cd" * 32
    level.image.save()
    (settings.DATA / "images" / level.image.sha256).touch()
    Machine.objects.filter(name="node1").update(**change)
    refill.take_all()
    assert live() == ["node2", "node3"]


def test_disks_that_dodai_never_wrote_are_left_alone(level, fleet):
    """Somebody is about to adopt a server that runs."""
    machines = fleet(2)
    machines[0].disks.update(signatures=[{"type": "xfs"}])
    refill.take_all()
    assert live() == ["node2"]


def test_a_lower_level_takes_nothing_away(level, fleet):
    for machine in fleet(3):
        pooling.warm(machine, level.image)
    pool.set_level(level.type, level.image, 1, by="ada")
    refill.take_all()
    assert live() == [] and Machine.objects.filter(state="warm").count() == 3


def test_too_few_machines_are_said(level, fleet):
    fleet(1)
    refill.take_all()
    level.refresh_from_db()
    assert live() == ["node1"] and level.problem == "2 more wanted: no machine of the type m1 is free for it."


def test_after_a_failure_it_waits_lest_a_fault_is_played_on_every_machine(level, fleet):
    fleet(5)
    refill.take_all()
    pooling.fail(Install.objects.live().first())
    refill.take_all()
    level.refresh_from_db()
    assert len(live()) == 1 and "failed (silent)" in level.problem and level.pause_until > now()
    PoolLevel.objects.update(pause_until=now() - timedelta(seconds=1))
    Install.objects.filter(state="failed").update(ended_at=now() - timedelta(minutes=16))
    refill.take_all()
    level.refresh_from_db()
    assert len(live()) == 2 and not level.problem


def test_a_machine_that_fails_again_and_again_is_left_alone(level, fleet):
    (machine,) = fleet(1)
    for _ in range(refill.MOST_FAILURES):
        refill.take_all()
        pooling.fail(Install.objects.live().get())
        Install.objects.update(ended_at=now() - timedelta(hours=1))
        PoolLevel.objects.update(pause_until=None)
    refill.take_all()
    level.refresh_from_db()
    assert live() == [] and "no machine of the type m1 is free" in level.problem
    assert Machine.objects.get().state == "free", machine


@pytest.mark.parametrize(
    "change", [{"reserved_for": "bob"}, {"protected": True}, {"unerased": True}, {"state": "aside"}]
)
def test_machines_of_somebody_are_left_alone(level, fleet, change):
    fleet(1)
    Machine.objects.update(**change)
    refill.take_all()
    assert live() == []


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda machine, cluster: upkeep.adopt_running(machine, system="Debian 9"),
        lambda machine, cluster: upkeep.reserve(machine, owner="ada", until=None),
        lambda machine, cluster: upkeep.choose_cluster(machine, cluster),
        lambda machine, cluster: Machine.objects.update(owner="ada"),
        lambda machine, cluster: machine.disks.update(signatures=[{"type": "zfs_member"}]),
    ],
)
def test_it_looks_again_at_a_machine_that_it_has_locked(level, fleet, cluster, monkeypatch, meanwhile):
    """As if somebody had been quicker between the look at free machines and the lock of one."""
    fleet(1)
    begin = actions.start_install

    def start_later(machine, *rest, **more):
        meanwhile(machine, cluster)
        return begin(machine, *rest, **more)

    monkeypatch.setattr(actions, "start_install", start_later)
    refill.take(level.pk)
    assert not Install.objects.exists()
    level.refresh_from_db()
    assert re.search("not free for the pool any more|zfs_member, which Dodai did not write", level.problem)


def test_a_retired_image_is_filled_no_more(level, fleet):
    fleet(3)
    level.image.retired_at = now()
    level.image.save()
    refill.take_all()
    level.refresh_from_db()
    assert live() == [] and level.problem == "The image debian is retired."


@pytest.mark.parametrize(("level", "at_once"), [(-1, 1), (201, 1), (1, 0)])
def test_levels_that_nobody_means_are_refused(kind, image, level, at_once):
    with pytest.raises(pool.Refused):
        pool.set_level(kind, image, level, at_once=at_once, by="ada")
    assert not PoolLevel.objects.exists()


def test_a_level_that_is_removed_leaves_its_machines(level, fleet):
    machines = fleet(1)
    pooling.warm(machines[0], level.image)
    pool.remove_level(level, by="ada")
    refill.take_all()
    assert Machine.objects.get().state == "warm"


@pytest.mark.django_db(transaction=True)
def test_filling_and_installing_at_once_wait_for_each_other_in_one_order(level, fleet):
    """Else PostgreSQL ends one of them as a deadlock."""
    machines = fleet(8)
    pool.set_level(level.type, level.image, 8, at_once=8, by="ada")
    calls = [patient(lambda m=m: actions.start_install(m, level.image, by="bob")) for m in reversed(machines)]
    results = at_once(*[refill.take_all] * 3, *calls)
    assert all(each is None or isinstance(each, Install | actions.Refused) for each in results), results
    assert Install.objects.live().count() == len({*Install.objects.live().values_list("machine", flat=True)})


@pytest.mark.django_db(transaction=True)
def test_many_watchdogs_fill_it_once(level, fleet):
    fleet(6)
    results = at_once(*[refill.take_all for _ in range(8)])
    assert results == [None] * 8
    assert len(live()) == 2
