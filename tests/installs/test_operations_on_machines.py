"""Hand-over, move, release and its undoing: how each ends, and that no machine is left without a way out."""

import json
import stat
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.utils.timezone import now

from installs import actions, flow, plan, site_hook
from installs.handover import doors, session
from installs.lifecycle import State
from installs.models import Event, Install, MachineKey, SshKey
from installs.notices.delivery import signature
from installs.releasing import due, erasing
from installs.releasing import release as releasing
from machines import addressing, cabling, upkeep, verbs
from machines.models import Bmc, Cluster, Machine, PortMove, Site, Switch, Vlan
from machines.network import fake
from machines.power import fake as fake_power_driver
from machines.power.base import Power
from tests import installing, ssh_machine
from tests.installing import run

HERE, THERE, QUARANTINE, PROVISION = 210, 211, 999, 100
OWNER = f"{ssh_machine.key_pair()[1]} owner"


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Deadlines are for machines, not for a busy computer."""
    for name in ("CONNECT_SECONDS", "WHOLE_SECONDS", "OVERTIME_SECONDS"):
        monkeypatch.setattr(session, name, 120.0)


@pytest.fixture
def clusters(db) -> tuple[Cluster, Cluster]:
    here, there = (
        Cluster.objects.create(name=name, vlan=Vlan.objects.create(vid=vid, name=name))
        for name, vid in (("here", HERE), ("there", THERE))
    )
    return here, there


def is_in(machine: Machine, vlan: int | None, tor: Switch, port: str = "p1", *, only: bool = False) -> Machine:
    """It has a card in this port, which is in that VLAN."""
    card = machine.interfaces.get(is_pxe=True) if only else machine.interfaces.create(mac=f"52:54:00:0f:00:{port[1:]}1")
    card.switch, card.switch_port = tor, port
    card.save()
    fake.vlans[f"tor port {port}"] = vlan
    return machine


def now_is(machine: Machine, **columns: object) -> Machine:
    Machine.objects.filter(pk=machine.pk).update(**columns)
    machine.refresh_from_db()
    return machine


@pytest.fixture
def used(machine, tor, clusters) -> Machine:
    """In use in the cluster `here`, running, with one service port."""
    now_is(machine, state="in_use", cluster=clusters[0], owner="ada", image_name="debian")
    fake_power_driver.states[machine.name] = Power.ON
    return is_in(machine, HERE, tor)


def where(port: str = "p1") -> int | None:
    return fake.vlans[f"tor port {port}"]


def done(install: Install) -> tuple[Install, Machine]:
    run()
    install.refresh_from_db()
    return install, Machine.objects.get(pk=install.machine_id)


# Move.


def test_a_machine_is_moved_and_its_port_with_it(used, clusters):
    install, machine = done(releasing.move_to(used, clusters[1], by="ada"))
    assert (install.state, machine.state, machine.cluster, where()) == (State.INSTALLED, "in_use", clusters[1], THERE)
    assert machine.handled_by == ""
    install, machine = done(releasing.move_to(machine, clusters[0], by="ada"))
    assert (machine.cluster, where()) == (clusters[0], HERE)


def test_out_of_its_cluster_its_port_is_parked(used):
    install, machine = done(releasing.move_to(used, None, by="ada"))
    assert (install.state, machine.cluster, where()) == (State.INSTALLED, None, QUARANTINE)


def test_without_cables_it_is_done_at_once(machine, clusters):
    assert releasing.move_to(machine, clusters[0], by="ada") is None
    machine.refresh_from_db()
    assert (machine.cluster, Install.objects.count()) == (clusters[0], 0)


@pytest.mark.parametrize("state", ["releasing", "erasing"])
def test_what_is_being_taken_back_goes_to_no_other_cluster(machine, clusters, state):
    now_is(machine, state=state, cluster=clusters[0])
    with pytest.raises(actions.Refused, match=f"is {state}"):
        releasing.move_to(machine, clusters[1], by="ada")
    assert "choose_cluster" not in verbs.possible(machine)
    machine.refresh_from_db()
    assert machine.cluster == clusters[0]


def test_the_only_card_of_a_machine_that_nobody_uses_stays_in_reach(machine, tor, clusters):
    now_is(machine, state="warm")
    is_in(machine, PROVISION, tor, only=True)
    install, machine = done(actions.start_operation(machine, "move", {"cluster": clusters[0].pk}, by="ada"))
    assert (install.state, machine.cluster, machine.state, where()) == (
        State.INSTALLED, clusters[0], "warm", PROVISION,
    )  # fmt: skip


@pytest.mark.parametrize("faults", [["refuses"], ["fails"] * 12, ["lies"] * 12])
def test_a_move_that_fails_leaves_all_as_it_was(used, clusters, faults):
    fake.faults["tor port p1"] = faults
    install, machine = done(releasing.move_to(used, clusters[1], by="ada"))
    assert (install.state, install.cause) == (State.FAILED, "port")
    assert (machine.state, machine.cluster, machine.handled_by, where()) == ("in_use", clusters[0], "", HERE)


def _killed_while_it_reads() -> None:
    """A worker, before anything was sent; its lease is over."""

    def killed(_port: str, _what: str) -> None:
        raise KeyboardInterrupt

    fake.listeners.append(killed)
    flow.begin_next()
    with pytest.raises(KeyboardInterrupt):
        flow.run_due()
    fake.listeners.clear()
    Install.objects.update(lease_until=None)
    assert (PortMove.objects.get().state, where()) == ("reading", HERE)


def test_a_worker_that_was_killed_while_it_read_the_ports_parks_none(used, clusters):
    install = releasing.move_to(used, clusters[1], by="ada")
    _killed_while_it_reads()
    actions.cancel(install, by="ada")
    install, machine = done(install)
    assert (install.state, machine.state, machine.cluster) == (State.CANCELLED, "in_use", clusters[0])
    assert (where(), [what for _, what in fake.calls]) == (HERE, ["read"])
    assert PortMove.objects.get().state == "failed", "nothing was sent"


def test_the_same_where_the_step_is_done_again_before_it_is_cancelled(used, clusters):
    install = releasing.move_to(used, clusters[1], by="ada")
    _killed_while_it_reads()
    flow.run_due()
    assert where() == THERE
    actions.cancel(install, by="ada")
    install, machine = done(install)
    assert (install.state, machine.cluster, where()) == (State.CANCELLED, clusters[0], HERE)
    assert list(PortMove.objects.order_by("pk").values_list("state", "before")) == [
        ("failed", None), ("moved", HERE), ("moved", THERE),
    ]  # fmt: skip


def _cancelled_and_ended(install: Install) -> None:
    """By another worker, while the first one is at it."""
    actions.cancel(install, by="ada")
    run()
    install.refresh_from_db()
    assert (install.state, Machine.objects.get().handled_by) == (State.CANCELLED, "")


def test_cancelled_while_the_switch_is_busy_no_port_is_moved_afterwards(used, clusters, monkeypatch):
    install, take, asked = releasing.move_to(used, clusters[1], by="ada"), cabling._Hold.take, []

    def busy_at_first(hold: object, number: int) -> bool:
        asked.append(number)
        if len(asked) > 1:
            return take(hold, number)
        _cancelled_and_ended(install)
        return False

    monkeypatch.setattr(cabling._Hold, "take", busy_at_first)
    run()
    assert (where(), fake.calls, PortMove.objects.count()) == (HERE, [], 0)
    assert len(asked) == 2
    assert Machine.objects.get().cluster == clusters[0]


def test_cancelled_while_the_ports_are_read_none_is_moved_afterwards(used, clusters):
    install = releasing.move_to(used, clusters[1], by="ada")

    def cancelled(_port: str, _what: str) -> None:
        fake.listeners.clear()
        _cancelled_and_ended(install)

    fake.listeners.append(cancelled)
    run()
    assert (where(), [what for _, what in fake.calls]) == (HERE, ["read"])
    assert PortMove.objects.get().state == "failed"
    assert not install.events.filter(name="port-error").exists(), "whoever was stopped says nothing"


def test_two_ports_are_moved_or_none(used, tor, clusters):
    is_in(used, HERE, tor, "p2")
    fake.faults["tor port p2"] = ["refuses"]
    install, machine = done(releasing.move_to(used, clusters[1], by="ada"))
    assert (install.state, where("p1"), where("p2"), machine.cluster) == (State.FAILED, HERE, HERE, clusters[0])


def test_a_port_that_does_not_stay_is_found_out_and_what_was_moved_goes_back(used, tor, clusters):
    """Somebody moves it by hand between the move and the last look."""
    is_in(used, HERE, tor, "p2")
    reads = []

    def meddle(port: str, what: str) -> None:
        reads.append((port, what))
        if reads.count(("tor port p2", "read")) == 3 and what == "read":
            fake.vlans["tor port p2"] = PROVISION

    fake.listeners.append(meddle)
    install, machine = done(releasing.move_to(used, clusters[1], by="ada"))
    assert (install.state, install.failed_step, install.cause) == (State.FAILED, "check_ports", "port")
    assert f"tor port p2 is in VLAN {PROVISION} instead of VLAN {THERE}" in install.error
    assert (where("p1"), where("p2"), machine.cluster) == (HERE, HERE, clusters[0])


def test_a_cluster_that_is_gone_is_refused(used):
    with pytest.raises(actions.Refused, match="not there any more"):
        actions.start_operation(used, "move", {"cluster": 12345}, by="ada")


def test_cancelled_while_a_person_is_asked_it_is_where_it_was(used, tor, clusters):
    tor.driver = "manual"
    tor.save()
    install, machine = done(releasing.move_to(used, clusters[1], by="ada"))
    assert (install.state, len(cabling.open_moves(machine.pk))) == (State.WAITING, 1)
    actions.cancel(install, by="ada")
    install, machine = done(install)
    assert (install.state, machine.cluster, cabling.open_moves(machine.pk)) == (State.CANCELLED, clusters[0], [])


def test_its_address_follows_it(used, clusters):
    for cluster, network in zip(clusters, ("10.1.0.0/24", "10.2.0.0/24"), strict=True):
        cluster.network = network
        cluster.save()
    card = used.interfaces.get(switch_port="p1")
    card.address = "10.1.0.7/24"
    card.save()
    done(releasing.move_to(used, clusters[1], by="ada"))
    card.refresh_from_db()
    assert card.address == "10.2.0.1/24"
    Cluster.objects.filter(pk=clusters[0].pk).update(first_address="10.1.0.1", last_address="10.1.0.1")
    used.interfaces.create(mac="52:54:00:0f:00:77", address="10.1.0.1/24")
    install, machine = done(releasing.move_to(used, Cluster.objects.get(pk=clusters[0].pk), by="ada"))
    assert (install.state, machine.cluster) == (State.INSTALLED, clusters[0])
    assert "are taken" in install.events.get(kind="alert", name="address").text


@pytest.fixture
def addressed(used, clusters) -> Machine:
    """In use, with the address 10.1.0.1 of its cluster's network."""
    for cluster, network in zip(clusters, ("10.1.0.0/24", "10.2.0.0/24"), strict=True):
        cluster.network = network
        cluster.save()
    used.interfaces.filter(switch_port="p1").update(address="10.1.0.1/24")
    return now_is(used, cluster=clusters[0])


def address_of(machine: Machine) -> str:
    return addressing.address_of(Machine.objects.get(pk=machine.pk))


def next_address_in(cluster: Cluster) -> str:
    """Of another machine that joins now."""
    number = Machine.objects.count() + 1
    other = installing.make_machine(f"node{number}", number=number)
    upkeep.choose_cluster(other, Cluster.objects.get(pk=cluster.pk))
    return address_of(other)


@pytest.mark.parametrize("state", ["in_use", "warm", "aside", "broken"])
@pytest.mark.parametrize("goes_to", [None, 1])
def test_nobody_gets_the_address_that_a_running_os_keeps(addressed, clusters, state, goes_to):
    """Without cables no port leaves the VLAN, and the OS does not know that its machine is in another cluster."""
    addressed.interfaces.update(switch=None, switch_port="")
    now_is(addressed, state=state)
    assert releasing.move_to(addressed, None if goes_to is None else clusters[goes_to], by="ada") is None
    assert (address_of(addressed), next_address_in(clusters[0])) == ("10.1.0.1/24", "10.1.0.2/24")


def test_the_only_card_of_a_warm_machine_stays_and_so_does_its_address(machine, tor, clusters):
    Cluster.objects.filter(pk=clusters[0].pk).update(network="10.1.0.0/24")
    now_is(machine, state="warm", cluster=clusters[0])
    is_in(machine, PROVISION, tor, only=True).interfaces.update(address="10.1.0.1/24")
    install, machine = done(releasing.move_to(machine, clusters[1], by="ada") or pytest.fail("done at once"))
    assert (install.state, machine.cluster, address_of(machine)) == (State.INSTALLED, clusters[1], "10.1.0.1/24")


def test_an_address_that_was_kept_goes_back_once_its_os_is_gone(addressed, clusters, settings):
    addressed.interfaces.update(switch=None, switch_port="")
    releasing.move_to(addressed, clusters[1], by="ada")
    said = plan.for_install(Machine.objects.get(pk=addressed.pk), installing.make_image()).warnings
    assert any("10.1.0.1/24" in words and "10.2.0.0/24" in words for words in said), "it would be installed with it"
    machine = Machine.objects.get(pk=addressed.pk)
    addressing.leave(machine)
    assert (machine.cluster, address_of(machine), next_address_in(clusters[0])) == (None, "", "10.1.0.1/24")


def test_or_once_it_is_free_for_another_cluster(addressed, clusters):
    addressed.interfaces.update(switch=None, switch_port="")
    releasing.move_to(addressed, None, by="ada")
    now_is(addressed, state="free")
    releasing.move_to(addressed, clusters[1], by="ada")
    assert address_of(addressed) == "10.2.0.1/24"


def test_into_a_cluster_without_a_vlan_its_port_is_parked_and_its_address_goes_back(addressed, clusters):
    bare = Cluster.objects.create(name="bare")
    install, machine = done(releasing.move_to(addressed, bare, by="ada") or pytest.fail("done at once"))
    assert (install.state, machine.cluster, where(), address_of(machine)) == (State.INSTALLED, bare, QUARANTINE, "")
    assert next_address_in(clusters[0]) == "10.1.0.1/24"


def test_in_the_same_vlan_its_os_keeps_it(addressed, clusters):
    Cluster.objects.filter(pk=clusters[1].pk).update(vlan=clusters[0].vlan)
    install, machine = done(releasing.move_to(addressed, Cluster.objects.get(pk=clusters[1].pk), by="ada"))
    assert (install.state, where(), address_of(machine)) == (State.INSTALLED, HERE, "10.1.0.1/24")


# Release.


def test_a_released_machine_is_off_parked_and_still_all_there(used, clusters, settings):
    settings.UNDO_MINUTES = 30
    before = now()
    install = releasing.release(used, by="ada")
    used.refresh_from_db()
    assert (used.state, used.erase_at) == ("releasing", None)
    install, machine = done(install)
    assert (install.state, install.error) == (State.INSTALLED, "")
    assert timedelta(minutes=29) < machine.erase_at - before < timedelta(minutes=40)
    assert (machine.state, machine.cluster, machine.owner, machine.image_name) == (
        "releasing", clusters[0], "ada", "debian",
    )  # fmt: skip
    assert (fake_power_driver.states["node1"], where()) == (Power.OFF, QUARANTINE)
    assert [what for _, what in fake_power_driver.calls if what != "state"] == ["soft off"]


def test_an_os_that_does_not_shut_down_is_switched_off(used, monkeypatch):
    monkeypatch.setattr(fake_power_driver.FakePower, "soft_off", lambda self: self._done("soft off"))
    install, _ = done(releasing.release(used, by="ada"))
    assert install.state == State.INSTALLED
    assert [what for _, what in fake_power_driver.calls if what != "state"] == ["soft off", "off"]
    assert fake_power_driver.states["node1"] == Power.OFF


def test_the_disks_are_kept_for_as_long_as_was_said(used):
    with pytest.raises(actions.Refused, match="0 to"):
        releasing.release(used, by="ada", keep_minutes=-1)
    _, machine = done(releasing.release(used, by="ada", keep_minutes=0))
    assert machine.erase_at <= now()


def boots_in(machine: Machine, vlan: int) -> Machine:
    """The provisioning VLAN of its site."""
    Site.objects.update(provision_vlan=Vlan.objects.create(vid=vlan, name="boot"))
    return Machine.objects.get(pk=machine.pk)


def test_the_port_of_an_only_card_is_parked_too(machine, tor, clusters):
    machine = boots_in(now_is(machine, state="in_use", cluster=clusters[0]), PROVISION)
    is_in(machine, HERE, tor, only=True)
    _, machine = done(releasing.release(machine, by="ada"))
    assert where() == QUARANTINE
    _, machine = done(releasing.undo_release(machine, by="ada"))
    assert (machine.state, where()) == ("in_use", HERE)


def test_what_could_not_be_erased_is_not_released(machine, tor, clusters):
    """Its only card would be parked, and nobody says where it boots: each erasing would end broken."""
    is_in(now_is(machine, state="in_use", cluster=clusters[0]), HERE, tor, only=True)
    with pytest.raises(actions.Refused, match="its site main has no provisioning VLAN"):
        releasing.release(machine, by="ada")
    machine.refresh_from_db()
    assert (machine.state, where()) == ("in_use", HERE)
    Switch.objects.update(ports="")
    assert releasing.release(machine, by="ada").plan.get("ports") is None, "Dodai moves nothing of this switch"


@pytest.mark.parametrize("quarantine", [QUARANTINE, None])
def test_what_was_parked_where_it_cannot_boot_is_not_erased_in_vain(machine, tor, clusters, quarantine):
    if quarantine is None:
        Switch.objects.update(quarantine=None)
    machine = boots_in(now_is(machine, state="in_use", cluster=clusters[0]), PROVISION)
    _, machine = done(releasing.release(is_in(machine, HERE, tor, only=True), by="ada", keep_minutes=0))
    assert (machine.state, where()) == ("releasing", quarantine)
    Site.objects.update(provision_vlan=None)
    assert due.erase_due() == 0
    with pytest.raises(actions.Refused, match="its site main has no provisioning VLAN"):
        erasing.erase(machine, by="ada")
    Site.objects.update(provision_vlan=Vlan.objects.get(vid=PROVISION))
    assert erasing.erase(Machine.objects.get(pk=machine.pk), by="ada").plan["ports"][0]["boot_vlan"] == PROVISION


def test_what_was_never_parked_boots_where_it_is(machine, tor):
    is_in(now_is(machine, state="releasing"), PROVISION, tor, only=True)
    assert erasing.erase(machine, by="ada").method == "erase"


def test_undone_it_is_all_as_it_was(used, clusters):
    _, machine = done(releasing.release(used, by="ada"))
    install, machine = done(releasing.undo_release(machine, by="ada"))
    assert (install.state, machine.state, machine.erase_at) == (State.INSTALLED, "in_use", None)
    assert (machine.cluster, machine.owner, machine.image_name) == (clusters[0], "ada", "debian")
    assert (fake_power_driver.states["node1"], where()) == (Power.ON, HERE)


def test_where_a_port_was_comes_back_not_where_its_cluster_is(used, tor):
    fake.vlans["tor port p1"] = 215
    _, machine = done(releasing.release(used, by="ada"))
    done(releasing.undo_release(machine, by="ada"))
    assert where() == 215


@pytest.mark.parametrize(
    ("breaks", "step"),
    [
        (lambda: fake.faults.update({"tor port p1": ["refuses"]}), "park"),
        (lambda: Switch.objects.update(quarantine=None, vlans="1"), "park"),
        (lambda: Bmc.objects.all().delete(), "shut_down"),
    ],
)
def test_a_release_that_fails_later_leaves_ways_on(used, tor, breaks, step):
    install = releasing.release(used, by="ada")
    breaks()
    install, machine = done(install)
    assert (install.state, install.failed_step) == (State.FAILED, step)
    assert (machine.state, machine.erase_at, machine.handled_by, where()) == ("releasing", None, "", HERE)
    Switch.objects.update(quarantine=Vlan.objects.get(vid=QUARANTINE), vlans="210-219")
    Bmc.objects.get_or_create(machine=machine, defaults={"driver": "fake"})
    machine = Machine.objects.get(pk=machine.pk)
    install, machine = done(releasing.release(machine, by="ada"))
    assert (install.state, where(), machine.erase_at is not None) == (State.INSTALLED, QUARANTINE, True)
    _, machine = done(releasing.undo_release(machine, by="ada"))
    assert (machine.state, where()) == ("in_use", HERE)


def test_cancelled_before_anything_was_done_it_stays_in_use(used):
    install = releasing.release(used, by="ada")
    actions.cancel(install, by="ada")
    install, machine = done(install)
    assert (install.state, machine.state, machine.erase_at, where()) == (State.CANCELLED, "in_use", None, HERE)


def test_an_undoing_that_fails_leaves_it_released_and_nothing_is_erased_by_itself(used):
    _, machine = done(releasing.release(used, by="ada", keep_minutes=0))
    fake.faults["tor port p1"] = ["refuses"]
    install, machine = done(releasing.undo_release(machine, by="ada"))
    assert (install.state, machine.state, machine.erase_at, where()) == (State.FAILED, "releasing", None, QUARANTINE)
    install, machine = done(releasing.undo_release(machine, by="ada"))
    assert (machine.state, where()) == ("in_use", HERE)


def test_what_failed_to_start_is_parked_again(used):
    _, machine = done(releasing.release(used, by="ada"))
    fake_power_driver.listeners.append(lambda _name, what: fake_power_driver.states.update(node1=Power.OFF))
    install, machine = done(releasing.undo_release(machine, by="ada"))
    assert (install.state, install.failed_step, install.cause) == (State.FAILED, "switch_on", "power")
    assert (machine.state, where()) == ("releasing", QUARANTINE)


# Once more.


def test_what_takes_a_machine_or_its_disks_is_not_tried_again_by_a_click(used, monkeypatch):
    """Somebody else may have it by now: who wants that types its name."""
    install = releasing.release(used, by="ada", keep_minutes=0)
    actions.cancel(install, by="ada")
    install, machine = done(install)
    now_is(machine, owner="carol")
    with pytest.raises(actions.Refused, match="open node1, and ask for it there"):
        actions.retry(install, by="ada")
    now_is(machine, state="releasing", unerased=True)
    erase = Install.objects.create(machine=machine, method="erase", state="failed", plan={}, plan_digest="x")
    with pytest.raises(actions.Refused, match="open node1, and ask for it there"):
        actions.retry(erase, by="ada")
    machine.refresh_from_db()
    assert (machine.state, machine.owner, Install.objects.live().count()) == ("releasing", "carol", 0)


def test_a_hand_over_is_asked_for_anew(warm, clusters):
    install = hand_over(warm, clusters[0])
    actions.cancel(install, by="ada")
    install, _ = done(install)
    with pytest.raises(actions.Refused, match="ask for a machine anew"):
        actions.retry(install, by="ada")
    assert not Install.objects.live().exists()


def test_only_the_newest_attempt_of_a_machine_is_tried_again(used, clusters):
    fake.faults["tor port p1"] = ["refuses"]
    first, _ = done(releasing.move_to(used, clusters[1], by="ada"))
    fake.faults["tor port p1"] = ["refuses"]
    second, _ = done(actions.retry(first, by="ada"))
    assert (first.state, second.method, second.state) == (State.FAILED, "move", State.FAILED)
    with pytest.raises(actions.Refused, match=f"{second} came after {first}"):
        actions.retry(first, by="ada")
    again, machine = done(actions.retry(second, by="ada"))
    assert (again.state, machine.cluster) == (State.INSTALLED, clusters[1])


def test_an_undoing_that_failed_is_tried_again(used):
    _, machine = done(releasing.release(used, by="ada"))
    fake.faults["tor port p1"] = ["refuses"]
    install, _ = done(releasing.undo_release(machine, by="ada"))
    _, machine = done(actions.retry(install, by="ada"))
    assert (install.state, machine.state) == (State.FAILED, "in_use")


def test_a_machine_without_a_bmc_is_for_people(used):
    Bmc.objects.update(driver="manual")
    install, _ = done(releasing.release(Machine.objects.get(pk=used.pk), by="ada"))
    assert (install.state, where()) == (State.INSTALLED, QUARANTINE)
    told = list(install.events.filter(name="operator").values_list("text", flat=True))
    assert told == ["node1 has no BMC: shut it down by hand", "node1 has no BMC: switch it off by hand"]


def test_a_protected_machine_is_not_released(used):
    used.protected = True
    used.save()
    with pytest.raises(actions.Refused, match="protected"):
        releasing.release(used, by="ada")


# The site's word.


@pytest.fixture
def hook(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(site_hook, "SECONDS", 60.0)

    def set_up(does: str) -> None:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\ncat >{tmp_path}/asked\n{does}\n")
        path.chmod(stat.S_IRWXU)
        settings.RELEASE_HOOK = [str(path), "--flag"]

    set_up.asked = lambda: json.loads((tmp_path / "asked").read_text())  # type: ignore[attr-defined]
    return set_up


def test_a_site_that_agrees_was_told_what_it_is_about(used, hook):
    hook("exit 0")
    install, machine = done(releasing.release(used, by="ada"))
    assert (install.state, machine.state) == (State.INSTALLED, "releasing")
    asked = hook.asked()
    assert (asked["machine"], asked["owner"], asked["cluster"], asked["requested_by"]) == (
        "node1", "ada", "here", "ada",
    )  # fmt: skip


REFUSED = "node1 stays in use: the site refuses: "
FAILED = "node1 stays in use: the site could not be asked: the hook failed: "


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("echo 'a database runs there'; echo more; exit 1", REFUSED + "a database runs there"),
        ("exit 1", REFUSED + "without a reason"),
        (r"printf '\033[2J<b>\n'; exit 1", REFUSED + "[2J<b>"),
        ("yes | head -c 3000000; exit 1", REFUSED + "y"),
        ("exit 2", FAILED + "it ended with 2"),
        ("kill -9 $$", FAILED + "it ended with -9"),
    ],
)
def test_without_a_yes_of_the_site_it_stays_in_use(used, hook, does, words):
    hook(does)
    install, machine = done(releasing.release(used, by="ada"))
    assert (install.state, install.cause, install.error) == (State.FAILED, "site-refused", words)
    assert (machine.state, machine.erase_at, machine.handled_by, where()) == ("in_use", None, "", HERE)
    assert fake_power_driver.states["node1"] == Power.ON


def test_a_hook_that_does_not_end_is_ended(used, hook, monkeypatch):
    monkeypatch.setattr(site_hook, "SECONDS", 1.0)
    hook("exec sleep 600")
    install, machine = done(releasing.release(used, by="ada"))
    assert install.error == FAILED + "it did not end within 1 s"
    assert machine.state == "in_use"


def test_a_hook_that_is_not_there_is_no_yes(used, settings):
    settings.RELEASE_HOOK = ["/nowhere/hook"]
    install, machine = done(releasing.release(used, by="ada"))
    assert (machine.state, install.error) == (
        "in_use",
        "node1 stays in use: the site could not be asked: the hook could not be started (No such file or directory)",
    )


def test_the_hook_gets_nothing_of_ours(used, hook, monkeypatch):
    monkeypatch.setenv("DODAI_RELEASE_SECRET", "canary")
    hook("env | grep -q DODAI && echo leaked && exit 1; exit 0")
    install, _ = done(releasing.release(used, by="ada"))
    assert install.state == State.INSTALLED


KEEPS = "node1 keeps its data: the site refuses: a database runs there"


def test_a_machine_that_was_repaired_is_not_erased_without_a_yes_of_the_site(used, hook):
    """Nobody has asked the site yet: it was never released."""
    hook("echo 'a database runs there'; exit 1")
    machine = upkeep.repaired(upkeep.mark_broken(used, by="ada", why="fan"))
    install, machine = done(erasing.erase(machine, by="ada"))
    assert (install.state, install.cause, install.error) == (State.FAILED, "site-refused", KEEPS)
    assert (machine.state, machine.erase_at, machine.unerased, machine.owner) == ("releasing", None, True, "ada")
    assert (machine.handled_by, fake_power_driver.states["node1"], where()) == ("", Power.ON, HERE)
    hook("exit 0")
    install, machine = done(erasing.erase(machine, by="ada"))
    assert (install.state, install.failed_step, machine.state) == (State.WAITING, "", "erasing")
    assert install.events.filter(text="The site agrees.").exists()


def test_a_free_machine_that_may_not_be_erased_stays_free(used, hook):
    hook("echo 'a database runs there'; exit 1")
    now_is(used, state="free", unerased=True, image_name="")
    install, machine = done(erasing.erase(used, by="ada"))
    assert (install.error, machine.state, machine.unerased) == (KEEPS, "free", True)


@pytest.mark.parametrize("between", ["nothing", "repaired", "undoing failed"])
def test_a_site_that_let_it_go_is_not_asked_again(used, hook, between):
    hook("exit 0")
    _, machine = done(releasing.release(used, by="ada"))
    hook("echo 'never heard of it'; exit 1")
    if between == "repaired":
        machine = upkeep.repaired(upkeep.mark_broken(machine, by="ada", why="fan"))
    if between == "undoing failed":
        fake.faults["tor port p1"] = ["refuses"]
        _, machine = done(releasing.undo_release(machine, by="ada"))
    install, machine = done(erasing.erase(machine, by="ada"))
    assert (install.state, machine.state) == (State.WAITING, "erasing")


@pytest.mark.parametrize("again", ["undone", "taken over without an inspection"])
def test_a_site_that_let_it_go_before_it_was_used_again_is_asked(used, hook, again):
    hook("exit 0")
    _, machine = done(releasing.release(used, by="ada"))
    if again == "undone":
        _, machine = done(releasing.undo_release(machine, by="ada"))
    else:
        machine = upkeep.retire(upkeep.mark_broken(machine, by="ada", why="fan"))
        machine = upkeep.adopt_running(upkeep.bring_back(machine), system="AIX")
    hook("echo 'a database runs there'; exit 1")
    machine = upkeep.repaired(upkeep.mark_broken(machine, by="ada", why="fan"))
    install, machine = done(erasing.erase(machine, by="ada"))
    assert (install.error, machine.state) == (KEEPS, "releasing")


def test_an_erasure_that_was_cancelled_before_it_began_changed_nothing(used):
    machine = upkeep.repaired(upkeep.mark_broken(used, by="ada", why="fan"))
    install = erasing.erase(machine, by="ada")
    actions.cancel(install, by="ada")
    install, machine = done(install)
    assert (install.state, machine.state, machine.erase_at) == (State.CANCELLED, "releasing", None)


class Site_(BaseHTTPRequestHandler):
    answer: tuple[int, str] = (200, '{"ok": true}')
    asked: list[tuple[dict[str, str], bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked.append((dict(self.headers), body))
        self.send_response(self.answer[0])
        if self.answer[0] == 302:
            self.send_header("Location", self.path)
        self.end_headers()
        self.wfile.write(self.answer[1].encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook(settings) -> Iterator[type[Site_]]:
    handler = type("Handler", (Site_,), {"asked": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.RELEASE_URL, settings.RELEASE_SECRET = f"http://127.0.0.1:{server.server_port}/may", "whsec_c2VjcmV0"
    yield handler
    server.shutdown()
    server.server_close()


def test_a_webhook_that_agrees_can_tell_that_it_is_dodai_who_asks(used, webhook):
    install, _ = done(releasing.release(used, by="ada"))
    assert install.state == State.INSTALLED
    [(headers, body)] = webhook.asked
    assert json.loads(body)["machine"] == "node1"
    signed = signature(
        "whsec_c2VjcmV0", uid=headers["webhook-id"], timestamp=int(headers["webhook-timestamp"]), body=body
    )
    assert headers["webhook-signature"] == signed


NO_JSON = 'its answer is not {"ok": true} or {"ok": false, "why": "..."}'


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, '{"ok": false, "why": "3 VMs run there"}'), REFUSED + "3 VMs run there"),
        ((200, '{"ok": "yes"}'), FAILED + NO_JSON),
        ((200, "yes"), FAILED + NO_JSON),
        ((200, "[" * 4000), FAILED + NO_JSON),
        ((500, '{"ok": true}'), FAILED + "it answered 500"),
        ((302, '{"ok": true}'), FAILED + "it answered 302"),
    ],
)
def test_any_other_answer_of_a_webhook_is_no_yes(used, webhook, answer, words):
    webhook.answer = answer
    install, machine = done(releasing.release(used, by="ada"))
    assert (install.error, machine.state) == (words, "in_use")
    assert len(webhook.asked) == 1


def test_program_and_webhook_must_both_agree(used, hook, webhook):
    hook("exit 0")
    webhook.answer = (200, '{"ok": false}')
    install, machine = done(releasing.release(used, by="ada"))
    assert (install.error, machine.state) == (REFUSED + "without a reason", "in_use")


# Hand-over.


@pytest.fixture
def os(tmp_path) -> Iterator[ssh_machine.SshMachine]:
    if not ssh_machine.can_run():
        pytest.skip("an OS of its own needs root and openssh-server")
    with ssh_machine.running(tmp_path) as found:
        found.path("/etc/dodai").mkdir()
        yield found


@pytest.fixture
def warm(machine, tor, clusters) -> Machine:
    """Of the pool, with an owner to be; its only card is where Dodai reaches it."""
    pool = actions.start_install(machine, installing.make_image(), by="pool", for_pool=True)
    Install.objects.filter(pk=pool.pk).update(state="installed", ended_at=now())
    SshKey.objects.create(name="owner", public_key=OWNER)
    now_is(machine, state="warm", cluster=clusters[0], owner="ada", handled_by="", image_name="debian")
    return is_in(machine, PROVISION, tor, only=True)


def hand_over(machine: Machine, cluster: Cluster) -> Install:
    told = {"install": Install.objects.get(is_for_pool=True).pk, "cluster": cluster.pk}
    return actions.start_operation(machine, "hand-over", told, by="ada")


def is_up(machine: Machine, os: ssh_machine.SshMachine, monkeypatch, **ports) -> MachineKey:
    kept = MachineKey.objects.get(install__machine=machine)
    kept.host_keys = [os.host_key]
    kept.save()
    os.let_in(kept.public_key)
    monkeypatch.setattr(doors, "of", lambda install: [("127.0.0.1", os.port)])
    return kept


def test_a_warm_machine_gets_its_owners_keys_and_then_its_vlan(warm, os, clusters, monkeypatch):
    is_up(warm, os, monkeypatch)
    seen = []
    fake.listeners.append(lambda _port, what: seen.append((what, os.text("/root/.ssh/authorized_keys"))))
    install, machine = done(hand_over(warm, clusters[0]))
    assert (install.state, install.error) == (State.INSTALLED, "")
    assert (machine.state, machine.image_name, machine.owner, where()) == ("in_use", "debian", "ada", HERE)
    assert os.text("/root/.ssh/authorized_keys").splitlines() == [OWNER]
    assert os.hostname() == "node1"
    assert {keys for _, keys in seen} == {f"{OWNER}\n"}, "a switch was spoken to before the keys were set"
    told = list(install.events.filter(kind=Event.Kind.NOTE, name__startswith="hand-over-").values_list("name", "data"))
    assert [name for name, _ in told] == [
        f"hand-over-{step}" for step in ("connect", "hostname", "network", "keys", "verify", "own-key")
    ]
    assert all(data["seconds"] >= 0 for _, data in told)
    assert not MachineKey.objects.get().is_kept


def test_cancelled_before_anybody_went_in_it_stays_warm(warm, clusters):
    install = hand_over(warm, clusters[0])
    actions.cancel(install, by="ada")
    install, machine = done(install)
    assert (install.state, machine.state, machine.image_name) == (State.CANCELLED, "warm", "debian")
    assert MachineKey.objects.get().is_kept


def test_another_host_key_is_a_broken_machine_and_nothing_was_told_to_it(warm, os, clusters, monkeypatch):
    kept = is_up(warm, os, monkeypatch)
    MachineKey.objects.update(host_keys=[ssh_machine.key_pair()[1]])
    install, machine = done(hand_over(warm, clusters[0]))
    assert (install.state, install.cause) == (State.FAILED, "wrong-host")
    assert (machine.state, machine.unerased, where()) == ("broken", True, PROVISION)
    assert "shows none of the SSH host keys" in machine.broken_why
    assert os.text("/root/.ssh/authorized_keys").splitlines() == [kept.public_key]


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        ("MachineKey.objects.update(private_sealed='')", "Dodai has no key of its own for this OS"),
        ("MachineKey.objects.update(host_keys=[])", "The OS never told its SSH host keys"),
        ("os.let_in(OWNER)", "does not take the machine's own key"),
        ("os.misbehaves('exit 9', when='3')", "ended with 9"),
        ("os.misbehaves('kill -9 $PPID; sleep 600', when='2')", "Network: "),
        ("monkeypatch.setattr(doors, 'of', lambda install: [])", "Dodai knows no address of it"),
    ],
)
def test_a_machine_that_cannot_be_handed_over_is_free_for_an_install(warm, os, clusters, monkeypatch, breaks, words):
    is_up(warm, os, monkeypatch)
    eval(breaks, globals(), {"os": os, "monkeypatch": monkeypatch})  # noqa: S307
    install, machine = done(hand_over(warm, clusters[0]))
    assert (install.state, install.cause) == (State.FAILED, "hand-over")
    assert words in install.error
    assert (machine.state, machine.image_name, machine.handled_by, where()) == ("free", "", "", PROVISION)
    assert not MachineKey.objects.get().is_kept


def test_a_port_that_cannot_join_frees_the_machine_and_stays_where_it_was(warm, os, clusters, monkeypatch):
    is_up(warm, os, monkeypatch)
    fake.faults["tor port p1"] = ["refuses"]
    install, machine = done(hand_over(warm, clusters[0]))
    assert (install.state, install.cause, install.failed_step) == (State.FAILED, "port", "join_vlan")
    assert (machine.state, machine.image_name, where()) == ("free", "", PROVISION)


def test_a_worker_that_died_after_it_went_in_need_not_go_in_again(warm, os, clusters, monkeypatch):
    """What it did is stored with the key that it forgot: both, or neither."""
    is_up(warm, os, monkeypatch)
    install = hand_over(warm, clusters[0])

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    flow.begin_next()
    with monkeypatch.context() as patch:
        patch.setattr(flow, "_store", died)
        with pytest.raises(KeyboardInterrupt):
            flow.run_due()
    Install.objects.update(lease_until=None)
    install, machine = done(install)
    assert (install.state, machine.state) == (State.INSTALLED, "in_use")
    assert install.events.filter(name="hand-over-keys").count() == 1


def test_an_address_that_does_not_answer_is_followed_by_the_next(warm, os, clusters, monkeypatch):
    is_up(warm, os, monkeypatch)
    monkeypatch.setattr(doors, "of", lambda install: [("127.0.0.1", 1), ("127.0.0.1", os.port)])
    install, machine = done(hand_over(warm, clusters[0]))
    assert (install.state, machine.state) == (State.INSTALLED, "in_use")


@pytest.mark.parametrize("told", [{}, {"install": 12345}])
def test_only_the_install_that_made_it_warm_opens_it(warm, clusters, told):
    with pytest.raises(actions.Refused, match="not ready for an owner"):
        actions.start_operation(warm, "hand-over", told | {"cluster": clusters[0].pk}, by="ada")


@pytest.mark.parametrize("is_now_in", [None, 1])
def test_nothing_is_handed_into_a_cluster_that_the_machine_is_no_member_of(warm, clusters, is_now_in):
    """Its allocation took it back after a cancelled hand-over: tried again, it would run in a VLAN of others."""
    install = hand_over(warm, clusters[0])
    actions.cancel(install, by="ada")
    done(install)
    now_is(warm, cluster=None if is_now_in is None else clusters[is_now_in], owner="")
    with pytest.raises(actions.Refused, match="ask for the machine anew"):
        hand_over(warm, clusters[0])
    assert (where(), Install.objects.live().count()) == (PROVISION, 0)


def test_where_an_os_called_from_comes_before_what_it_is_to_get(machine):
    machine.interfaces.update(address="10.1.0.9/24")
    install = installing.start(machine)
    for name, address in (("install", "10.3.0.1"), ("installed", "10.2.0.5"), ("granted", "10.3.0.2")):
        install.events.create(kind=Event.Kind.MACHINE, name=name, address=address)
    assert doors.of(install) == [("10.2.0.5", 22), ("10.1.0.9", 22)]
    install.events.filter(name="installed").update(address="127.0.0.1")
    assert doors.of(install) == [("10.1.0.9", 22)], "never into this computer itself"


def test_a_practice_server_is_reached_by_the_labs_own_way(machine, monkeypatch):
    Site.objects.update(is_practice=True)
    install = installing.start(Machine.objects.get(pk=machine.pk))
    asked = []
    monkeypatch.setattr(doors.control, "ask", lambda data, do, **told: asked.append((do, told)) or {"port": 4022})
    assert doors.of(install) == [("127.0.0.1", 4022)]
    assert asked == [("ssh", {"name": "node1"})]


def test_every_port_move_of_an_operation_names_it(used, clusters):
    install, _ = done(releasing.move_to(used, clusters[1], by="ada"))
    assert set(PortMove.objects.values_list("asked_by", flat=True)) == {str(install)}
