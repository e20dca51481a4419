"""Which ports an install moves, where they are afterwards, and what follows when a switch does not do it."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs import actions, flow, plan, sweep
from installs.lifecycle import State
from installs.models import Install
from installs.ports import moving, which
from machines import cabling
from machines.models import Cluster, Interface, PortMove, Site, Switch, Vlan
from machines.network import fake
from tests import installing
from tests.installing import run

SERVICE, PROVISION, CLUSTER, QUARANTINE = 1, 100, 210, 999


@pytest.fixture
def web(db) -> Cluster:
    return Cluster.objects.create(name="web", vlan=Vlan.objects.create(vid=CLUSTER, name="web"))


def cabled(machine, switch: Switch, *, only: bool = False, **fields) -> Interface:
    """Its service card, or its only card, in port p1, which is in VLAN 1."""
    card = machine.interfaces.get(is_pxe=True) if only else machine.interfaces.create(mac="52:54:00:0f:00:01")
    for name, value in {"switch": switch, "switch_port": "p1", **fields}.items():
        setattr(card, name, value)
    card.save()
    fake.vlans["tor port p1"] = SERVICE
    return card


def home_of(machine, web, *, vlan: bool = True) -> None:
    machine.cluster = web
    machine.save()
    Site.objects.filter(pk=machine.site_id).update(
        provision_vlan=Vlan.objects.create(vid=PROVISION, name="boot") if vlan else None
    )
    machine.refresh_from_db()


def where(port: str = "p1") -> int | None:
    return fake.vlans[f"tor port {port}"]


def put() -> list[str]:
    """What the switch was told, in order."""
    return [what for port, what in fake.calls if what != "read"]


def install_it(machine, server, **said) -> Install:
    install = installing.start(machine)
    run()
    server.boot()
    granted = server.ask_grant()
    server.say("install_reboot")
    run()
    server.finish_first_boot(granted)
    return install


def ended(install: Install) -> Install:
    run()
    install.refresh_from_db()
    return install


# Which cards.


@pytest.mark.parametrize(
    ("cards", "moved", "only"),
    [
        ([("a", True, "service", "p1"), ("b", False, "service", "p2")], "b", None),
        ([("a", True, "service", "p1"), ("b", False, "service", "")], "a", "a"),
        ([("a", True, "service", "p1"), ("b", False, "storage", "p2")], "a", "a"),
        ([("a", True, "storage", "p1")], "", None),
        ([("a", True, "service", ""), ("b", False, "service", "p2"), ("c", False, "service", "p3")], "bc", None),
        ([("a", True, "service", ""), ("b", False, "service", "")], "", None),
        ([], "", None),
    ],
)
@pytest.mark.parametrize("listed", ["p1..9", " "])
def test_which_cards_are_moved(cards, moved, only, listed):
    rows = [
        Interface(mac=mac, is_pxe=is_pxe, role=role, switch=Switch(ports=listed) if port else None, switch_port=port)
        for mac, is_pxe, role, port in cards
    ]
    assert "".join(card.mac for card in which.moved(rows)) == (moved if listed.strip() else "")
    assert (found.mac if (found := which.only_card(rows)) else None) == (only if listed.strip() else None)


# In an install.


def test_a_service_port_joins_before_the_boot_and_the_card_of_the_boot_stays(machine, server, tor, web):
    cabled(machine, tor)
    boot = machine.interfaces.get(is_pxe=True)
    Interface.objects.filter(pk=boot.pk).update(switch=tor, switch_port="p2")
    fake.vlans["tor port p2"] = PROVISION
    home_of(machine, web)
    install = installing.start(machine)
    assert install.plan["ports"] == [{"mac": "52:54:00:0f:00:01", "switch": "tor", "port": "p1", "vlan": CLUSTER}]
    run()
    install.refresh_from_db()
    assert (install.awaited, where(), where("p2")) == ("install", CLUSTER, PROVISION)
    assert {port for port, what in fake.calls if what != "read"} == {"tor port p1"}


def test_an_only_card_boots_in_one_vlan_and_joins_the_other_once_the_os_has_called(machine, server, tor, web):
    cabled(machine, tor, only=True)
    home_of(machine, web)
    install = install_it(machine, server)
    install.refresh_from_db()
    assert (install.state, where(), put()) == (State.RUNNING, PROVISION, [f"attach {PROVISION}"])
    assert (ended(install).state, where()) == (State.INSTALLED, CLUSTER)
    assert list(PortMove.objects.order_by("pk").values_list("state", "before", "after", "asked_by")) == [
        ("moved", SERVICE, PROVISION, str(install)), ("moved", PROVISION, CLUSTER, str(install)),
    ]  # fmt: skip
    note = install.events.get(text__contains=f"VLAN {PROVISION} → VLAN {CLUSTER}")
    assert note.text == f"tor port p1: VLAN {PROVISION} → VLAN {CLUSTER}"


@pytest.mark.parametrize(("only", "boots", "warns"), [(True, False, True), (True, True, False), (False, False, False)])
def test_the_plan_warns_where_nobody_says_where_the_only_card_boots(machine, tor, web, only, boots, warns):
    cabled(machine, tor, only=only)
    home_of(machine, web, vlan=boots)
    made = plan.for_install(machine, installing.make_image())
    assert any("its site main has no provisioning VLAN" in words for words in made.warnings) is warns
    assert made.is_possible


def test_of_the_pool_it_stays_where_dodai_reaches_it(machine, server, tor):
    cabled(machine, tor, only=True)
    home_of(machine, None)
    install = actions.start_install(machine, installing.make_image(), by="tester", for_pool=True)
    run()
    server.boot()
    server.finish_first_boot(server.ask_grant())
    assert (ended(install).state, where()) == (State.INSTALLED, PROVISION)


def test_without_entered_switches_there_are_no_such_steps(machine, server):
    install = install_it(machine, server)
    install.refresh_from_db()
    assert (install.state, "ports" in install.plan) == (State.INSTALLED, False)
    steps = set(install.events.filter(kind="step").values_list("name", flat=True))
    assert not steps & {"set_ports", "join_vlan"}


def test_an_inspection_leaves_the_only_card_where_it_was(machine, server, tor, web):
    cabled(machine, tor, only=True)
    home_of(machine, web)
    install = actions.start_inspection(machine, by="tester")
    run()
    assert where() == PROVISION
    server.boot()
    server.say("inspected", installing.facts_of(machine, server.boot_id))
    assert (ended(install).state, where()) == (State.INSTALLED, SERVICE)
    assert put() == [f"attach {PROVISION}", f"attach {SERVICE}"]


def test_a_cabling_that_was_changed_since_the_plan_stops_it(machine, tor, web):
    card = cabled(machine, tor)
    home_of(machine, web)
    install = installing.start(machine)
    card.switch_port = "p2"
    card.save()
    assert ended(install).cause == "port"
    assert install.error == (
        "node1: its switch ports could not be moved: 52:54:00:0f:00:01 is no longer entered at tor port p1: "
        "nothing was sent"
    )
    assert fake.calls == []


# What goes wrong.


@pytest.mark.parametrize(
    ("faults", "state", "vlan", "words"),
    [
        (["fails"], "waiting", CLUSTER, ""),
        (["fails late"], "waiting", CLUSTER, ""),
        (["fails"] * 12, "failed", SERVICE, "tor port p1: the switch did nothing (tried 4 times)"),
        (["refuses"], "failed", SERVICE, "tor port p1: the switch refuses"),
        (["lies"] * 12, "failed", SERVICE, f"is in VLAN {SERVICE} though it was put into VLAN {CLUSTER}"),
        (["cannot be read"], "waiting", CLUSTER, ""),
    ],
)
def test_a_switch_that_does_not_do_it(machine, tor, web, faults, state, vlan, words):
    cabled(machine, tor)
    home_of(machine, web)
    fake.faults["tor port p1"] = list(faults)
    install = ended(installing.start(machine))
    assert (install.state, where()) == (state, vlan)
    assert install.cause == ("port" if words else "") and words in install.error
    machine.refresh_from_db()
    assert machine.state == ("installing" if state == "waiting" else "free")


def test_a_vlan_that_is_not_listed_is_refused_and_nothing_is_sent(machine, tor, web):
    cabled(machine, tor)
    home_of(machine, web)
    Switch.objects.update(vlans="1")
    install = ended(installing.start(machine))
    assert (install.state, install.cause, put()) == (State.FAILED, "port", [])
    assert f"VLAN {CLUSTER} is not on the list of that switch: nothing was sent" in install.error


def test_a_busy_switch_is_waited_for(machine, tor, web, monkeypatch):
    monkeypatch.setattr(moving, "SWITCH_WAIT_SECONDS", 0.0)
    cabled(machine, tor)
    home_of(machine, web)
    Switch.objects.update(held_by="somebody", held_until=now() + timedelta(minutes=2))
    install = installing.start(machine)
    flow.begin_next()
    flow.run_due()
    flow.run_due()
    install.refresh_from_db()
    assert (install.state, install.cause) == (State.WAITING, "")
    Switch.objects.update(held_until=now() - timedelta(seconds=1))
    assert ended(install).awaited == "install"
    assert where() == CLUSTER


def test_what_a_failed_install_moved_goes_back(machine, server, tor, web):
    cabled(machine, tor)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    assert where() == CLUSTER
    actions.cancel(install, by="ada")
    assert (ended(install).state, where()) == (State.CANCELLED, SERVICE)
    assert not install.events.filter(kind="alert").exists()


def test_what_cannot_go_back_is_an_alert_that_says_where_it_is(machine, server, tor, web):
    cabled(machine, tor)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    Switch.objects.update(vlans="210")
    actions.cancel(install, by="ada")
    assert (ended(install).state, where()) == (State.CANCELLED, CLUSTER)
    alert = install.events.get(kind="alert", name="ports")
    assert "could not be put back" in alert.text and alert.text.endswith(f"tor port p1 is in VLAN {CLUSTER}")


def test_a_switch_that_is_silent_at_the_end_is_tried_until_the_time_is_over(machine, server, tor, web):
    cabled(machine, tor)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    fake.faults["tor port p1"] = ["cannot be read"] * 3
    actions.cancel(install, by="ada")
    assert (ended(install).state, where()) == (State.CANCELLED, SERVICE)
    assert not install.events.filter(kind="alert").exists()


def test_a_protected_machines_port_is_left_where_it_is(machine, server, tor, web):
    cabled(machine, tor)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    machine.protected = True
    machine.save(update_fields=["protected"])
    sent = put()
    actions.cancel(install, by="ada")
    assert (ended(install).state, put()) == (State.CANCELLED, sent)
    assert "is protected: its ports are left where they are" in install.events.get(kind="alert", name="ports").text


def _work_on() -> None:
    for _ in range(10):
        Install.objects.update(look_again_at=None)
        flow.run_due()


def test_a_worker_that_was_killed_in_the_middle_of_a_move_has_said_where_the_port_was(machine, server, tor, web):
    """The next one goes on at once; and what is put back later goes to where it was at first."""
    cabled(machine, tor)
    home_of(machine, web)
    install = installing.start(machine)

    def killed(_port: str, what: str) -> None:
        if what.startswith("attach"):
            fake.vlans["tor port p1"] = CLUSTER  # it was said, and nobody came to read it back
            raise KeyboardInterrupt

    fake.listeners.append(killed)
    flow.begin_next()
    with pytest.raises(KeyboardInterrupt):
        _work_on()
    fake.listeners.clear()
    assert PortMove.objects.get().before == SERVICE
    Install.objects.update(lease_until=None)
    assert (ended(install).awaited, where()) == ("install", CLUSTER)
    actions.cancel(install, by="ada")
    assert (ended(install).state, where()) == (State.CANCELLED, SERVICE)


def test_an_inspection_after_a_worker_was_killed_while_it_read_leaves_the_only_card_where_it_was(
    machine, server, tor, web
):
    cabled(machine, tor, only=True)
    home_of(machine, web)
    install = actions.start_inspection(machine, by="ada")

    def killed(_port: str, _what: str) -> None:
        raise KeyboardInterrupt

    fake.listeners.append(killed)
    flow.begin_next()
    with pytest.raises(KeyboardInterrupt):
        _work_on()
    fake.listeners.clear()
    assert put() == []
    Install.objects.update(lease_until=None)
    assert (ended(install).awaited, where()) == ("inspected", PROVISION)
    server.boot()
    server.say("inspected", installing.facts_of(machine, server.boot_id))
    assert (ended(install).state, where()) == (State.INSTALLED, SERVICE)


# By hand.


@pytest.fixture
def patch(tor) -> Switch:
    tor.driver = "manual"
    tor.save()
    return tor


def test_a_person_is_asked_and_it_goes_on_once_they_have_done_it(machine, patch, web):
    cabled(machine, patch)
    home_of(machine, web)
    install = installing.start(machine)
    for _ in range(2):
        run()
        install.refresh_from_db()
        assert (install.state, install.operator_task) == (
            State.WAITING, "node1: move its switch ports as its page says, and confirm it there",
        )  # fmt: skip
        assert install.give_up_at > now() + timedelta(hours=1)
    [asked] = cabling.open_moves(machine.pk)
    cabling.confirm(asked.pk, by="grace")
    assert (ended(install).awaited, install.operator_task) == ("install", "")


def test_a_person_who_cannot_do_it_ends_it_in_their_words(machine, patch, web):
    cabled(machine, patch)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    [asked] = cabling.open_moves(machine.pk)
    cabling.cannot(asked.pk, "the cable is cut", by="grace")
    assert (ended(install).state, install.cause) == (State.FAILED, "port")
    assert install.error.endswith("tor port p1: grace says: the cable is cut")


def test_nobody_within_two_hours_ends_it_and_nobody_is_asked_any_more(machine, patch, web):
    cabled(machine, patch)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    PortMove.objects.update(asked_at=now() - timedelta(hours=2, seconds=1))
    sweep.sweep()
    assert (ended(install).state, install.cause) == (State.FAILED, "port")
    assert "nobody moved tor port p1 within 2 hours" in install.error
    assert cabling.open_moves(machine.pk) == []


def test_cancelled_while_a_person_is_asked_asks_them_no_more(machine, patch, web):
    cabled(machine, patch)
    home_of(machine, web)
    install = installing.start(machine)
    run()
    actions.cancel(install, by="ada")
    assert ended(install).state == State.CANCELLED
    assert set(PortMove.objects.values_list("state", flat=True)) == {"withdrawn"}
