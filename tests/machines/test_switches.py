"""Ports of machines' cards on their switches: who may be moved, who holds the switch, what is stored, who is asked."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import IntegrityError
from django.utils.timezone import now

from dodaiweb import keys, rotation
from machines import cabling, child, reading_ports
from machines.acting import Actor, acting
from machines.actions import Refused
from machines.cabling import MoveFailed, MoveRefused, SwitchBusy
from machines.history import changes_of_any
from machines.models import Interface, Machine, PortMove, Switch, Vlan
from machines.network import fake
from machines.network.base import NetworkError
from machines.network.move import State
from tests import installing, scenes
from tests.installs.test_migrations import migrate

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forget():
    fake.forget()
    yield
    fake.forget()


@pytest.fixture
def tor(db) -> Switch:
    return Switch.objects.create(name="tor", driver="fake", vlans="1, 210-219", ports="p1..9")


def card_in(switch: Switch, port: str, number: int = 1) -> Interface:
    machine = Machine.objects.filter(name=f"node{number}").first() or installing.make_machine(
        f"node{number}", number=number
    )
    card = machine.interfaces.create(mac=f"52:54:00:0f:{number:02x}:{machine.interfaces.count():02x}")
    card.switch, card.switch_port = switch, port
    card.save()
    return card


def put(name: str, vlan: int | None) -> None:
    fake.vlans[f"tor port {name}"] = vlan


def test_a_card_is_moved_and_it_is_stored_what_was_read(tor):
    put("p1", 1)
    card = card_in(tor, "p1")
    [move] = cabling.move_cards({card: 210}, by="ada")
    assert (move.before, move.after, move.state) == (1, 210, State.MOVED)
    row = PortMove.objects.get()
    assert (row.before, row.vlan, row.after, row.state, row.asked_by) == (1, 210, 210, "moved", "ada")
    assert cabling.read_cards([card]) == {card: 210}
    tor.refresh_from_db()
    assert (tor.held_by, tor.held_until) == ("", None)


def test_moving_again_sends_nothing_and_stores_nothing(tor):
    put("p1", 210)
    card = card_in(tor, "p1")
    [move] = cabling.move_cards({card: 210}, by="ada")
    assert move.state == State.STAYED
    assert [what for _, what in fake.calls] == ["read"]
    assert not PortMove.objects.exists()


def test_parking_is_the_quarantine_vlan(tor):
    tor.quarantine = Vlan.objects.create(vid=999, name="quarantine")
    tor.save()
    put("p1", 210)
    cabling.move_cards({card_in(tor, "p1"): None}, by="ada")
    assert fake.vlans["tor port p1"] == 999


def test_a_failure_puts_all_back_and_says_so(tor):
    for name in ("p1", "p2"):
        put(name, 1)
    first, second = card_in(tor, "p1"), card_in(tor, "p2", 2)
    fake.faults["tor port p2"] = ["refuses"]
    with pytest.raises(MoveRefused) as caught:
        cabling.move_cards({first: 210, second: 210}, by="ada")
    assert [known.state for known in caught.value.moves] == [State.PUT_BACK, State.PUT_BACK]
    assert set(fake.vlans.values()) == {1}
    assert set(PortMove.objects.values_list("state", flat=True)) == {"put_back"}
    fake.faults["tor port p2"] = ["fails late", "fails", "fails"]
    with pytest.raises(MoveFailed, match="could not be put back into VLAN 1"):
        cabling.move_cards({first: 210, second: 210}, by="ada")
    assert fake.vlans == {"tor port p1": 1, "tor port p2": 210}
    assert PortMove.objects.get(port="p2", state="astray").problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: setattr(card.machine, "protected", True), "is protected"),
        (lambda card: setattr(card, "switch_port", ""), "nobody entered which switch"),
        (lambda card: setattr(card, "switch", None), "nobody entered which switch"),
        (lambda card: setattr(card.switch, "ports", "p2"), "not on the list of ports"),
        (lambda card: setattr(card.switch, "vlans", "211"), "VLAN 210 is not on the list"),
        (lambda card: setattr(card.switch, "driver", "telnet"), "there is no network driver 'telnet'"),
        (lambda card: setattr(card.switch, "driver", "openvswitch"), "has no bridge"),
    ],
)
def test_what_may_not_be_moved_is_refused_before_anything_is_sent(tor, change, words):
    put("p1", 1)
    card = card_in(tor, "p1")
    change(card)
    for thing in (card, card.machine, tor if card.switch is None else card.switch):
        thing.save()
    with pytest.raises(MoveRefused, match=words):
        cabling.move_cards({card: 210}, by="ada")
    assert fake.calls == []


def test_a_port_that_two_cards_claim_is_left_alone(tor):
    put("p1", 1)
    card = card_in(tor, "p1")
    card_in(tor, "p1", 2)
    with pytest.raises(MoveRefused, match="is entered for node1 and for node2"):
        cabling.move_cards({card: 210}, by="ada")
    assert fake.calls == []


def test_one_process_at_a_time_has_a_switch(tor):
    """And who finds it taken gives up, without a word to it."""
    put("p1", 1)
    card, seen = card_in(tor, "p1"), []

    def meanwhile(_port: str, what: str) -> None:
        if what == "attach 210":
            with pytest.raises(SwitchBusy):
                cabling.move_cards({card: 211}, by="grace", wait_seconds=0)
            seen.append(what)

    fake.listeners.append(meanwhile)
    cabling.move_cards({card: 210}, by="ada")
    assert seen == ["attach 210"]
    assert [what for _, what in fake.calls] == ["read", "attach 210", "read"]


def test_who_lost_the_switch_says_nothing_more_to_it(tor):
    put("p1", 1)
    card = card_in(tor, "p1")
    fake.listeners.append(lambda _port, what: Switch.objects.update(held_by="another") if what == "read" else None)
    with pytest.raises(MoveFailed, match="another process has taken over"):
        cabling.move_cards({card: 210}, by="ada")
    assert [what for _, what in fake.calls] == ["read"]
    assert Switch.objects.get().held_by == "another", "it is not released for the other one"


def test_each_word_to_a_switch_may_be_said_for_as_long_as_the_lease(tor, monkeypatch):
    """However many were said before: each is a minute here. Who freezes for longer says nothing more (child.py)."""
    clock, left = [0.0], []
    monkeypatch.setattr(child, "boot_seconds", lambda: clock[0])

    def minute(_port: str, _what: str) -> None:
        left.append(child._not_after.get() - clock[0])
        clock[0] += 60

    fake.listeners.append(minute)
    cards = {card_in(tor, f"p{number}", number): 210 for number in range(1, 4)}
    cabling.move_cards(cards, by="ada")
    whole = cabling.LEASE.total_seconds()
    assert left == [whole, whole - 60, whole - 120, *[whole] * 6], "the first three are one word: read all"


def test_what_a_killed_process_left_behind_is_named_once_its_time_is_over(tor):
    put("p1", 1)
    card = card_in(tor, "p1")

    def killed(_port: str, what: str) -> None:
        if what.startswith("attach"):
            raise KeyboardInterrupt

    fake.listeners.append(killed)
    with pytest.raises(KeyboardInterrupt):
        cabling.move_cards({card: 210}, by="ada")
    fake.listeners.clear()
    Switch.objects.update(held_by="dead", held_until=now() + timedelta(seconds=60))
    with pytest.raises(SwitchBusy):
        cabling.move_cards({card: 210}, by="ada", wait_seconds=0)
    Switch.objects.update(held_until=now() - timedelta(seconds=1))
    cabling.move_cards({card: 210}, by="ada")
    assert list(PortMove.objects.order_by("pk").values_list("state", flat=True)) == ["astray", "moved"]
    assert "ended while it moved" in PortMove.objects.get(state="astray").problem


def test_of_what_a_killed_process_only_read_it_is_known_that_it_was_not_moved(tor):
    put("p1", 1)
    card = card_in(tor, "p1")

    def killed(_port: str, _what: str) -> None:
        raise KeyboardInterrupt

    fake.listeners.append(killed)
    with pytest.raises(KeyboardInterrupt):
        cabling.move_cards({card: 210}, by="ada")
    fake.listeners.clear()
    cabling.move_cards({card: 210}, by="ada")
    assert list(PortMove.objects.order_by("pk").values_list("state", "before", "problem")) == [
        ("failed", None, cabling.NOT_SENT), ("moved", 1, ""),
    ]  # fmt: skip


def test_whose_move_was_given_up_while_it_read_sends_nothing(tor):
    put("p1", 1)
    card = card_in(tor, "p1")
    fake.listeners.append(lambda _port, _what: cabling.stop_reading(by="ada"))
    with pytest.raises(MoveFailed, match="given up before anything was sent"):
        cabling.move_cards({card: 210}, by="ada")
    assert [what for _, what in fake.calls] == ["read"]
    assert PortMove.objects.get().state == "failed"


def test_what_refuses_a_move_leaves_nothing_written_down(tor):
    card = card_in(tor, "p1")

    def refuse() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cabling.move_cards({card: 210}, by="ada", check=refuse)
    assert (PortMove.objects.count(), Switch.objects.get().held_by) == (0, "")


def test_no_lock_of_the_database_is_held_while_a_switch_is_talked_to(tor):
    put("p1", 1)
    card, seen = card_in(tor, "p1"), []
    outer = len(connection.savepoint_ids)  # the test's own transaction
    fake.listeners.append(lambda _port, _what: seen.append(len(connection.savepoint_ids)))
    cabling.move_cards({card: 210}, by="ada")
    assert set(seen) == {outer}


@pytest.mark.django_db(transaction=True)
def test_many_at_once_each_get_their_turn(request):
    request.addfinalizer(scenes.restore_groups)
    tor = Switch.objects.create(name="tor", driver="fake", vlans="1, 210-219", ports="p1..9")
    cards, at_once, most, problems = [card_in(tor, f"p{n}", n) for n in range(1, 7)], [], [], []
    for number in range(1, 7):
        put(f"p{number}", 1)
    fake.listeners.append(lambda *_: (at_once.append(1), most.append(len(at_once)), at_once.pop()))

    def work(card: Interface) -> None:
        try:
            cabling.move_cards({card: 210}, by="ada", wait_seconds=60)
        except Exception as exc:  # noqa: BLE001 - told below
            problems.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(card,)) for card in cards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert problems == []
    assert set(fake.vlans.values()) == {210}
    assert max(most) == 1


# By hand.


@pytest.fixture
def patch(db) -> Switch:
    return Switch.objects.create(name="patch", driver="manual", vlans="210-219", ports="p1..9")


def test_by_hand_an_operator_is_asked_once_and_confirms(patch):
    card = card_in(patch, "p1")
    [move] = cabling.move_cards({card: 210}, by="install 7")
    assert (move.state, move.problem) == (State.ASKED, "patch port p1: put it into VLAN 210 by hand")
    [asked] = cabling.open_moves(card.machine_id)
    assert cabling.confirm(asked.pk, by="grace").ended_by == "grace"
    with pytest.raises(Refused, match="Nobody asks"):
        cabling.confirm(asked.pk, by="ada")
    assert cabling.open_moves(card.machine_id) == []
    [move] = cabling.move_cards({card: 210}, by="install 7")
    assert (move.state, move.before) == (State.STAYED, 210)
    assert cabling.read_cards([card]) == {card: 210}


def test_asking_again_replaces_what_was_asked(patch):
    card = card_in(patch, "p1")
    cabling.move_cards({card: 210}, by="ada")
    cabling.move_cards({card: 211}, by="ada")
    assert [row.vlan for row in cabling.open_moves(card.machine_id)] == [211]
    cabling.withdraw(card.machine_id)
    assert cabling.open_moves(card.machine_id) == []
    assert set(PortMove.objects.values_list("state", flat=True)) == {"withdrawn"}


def test_who_cannot_do_it_says_why(patch):
    card = card_in(patch, "p1")
    cabling.move_cards({card: 210}, by="ada")
    [asked] = cabling.open_moves(card.machine_id)
    with pytest.raises(Refused, match="Say why"):
        cabling.cannot(asked.pk, "  ", by="grace")
    row = cabling.cannot(asked.pk, "the cable\nis cut", by="grace")
    assert (row.state, row.problem, row.after) == ("failed", "the cable is cut", None)


def test_one_live_move_a_port(patch):
    PortMove.objects.create(switch=patch, port="p1", vlan=1, asked_by="ada")
    with pytest.raises(IntegrityError):
        PortMove.objects.create(switch=patch, port="p1", vlan=2, asked_by="ada")


# Reading ports.


@pytest.mark.django_db(transaction=True)
def test_an_operator_has_the_ports_read_and_each_has_a_line(request, tor, work):
    request.addfinalizer(scenes.restore_groups)
    card_in(tor, "p1")
    card_in(tor, "x9", 2)
    put("p1", 210)
    tor.ports = "p1 p2"
    tor.save()
    assert reading_ports.request([tor.pk], by="ada") == 1
    assert work() == 1
    tor.refresh_from_db()
    lines = {row["port"]: row for row in tor.read_report}
    assert (lines["p1"]["vlan"], lines["p1"]["allowed"]) == (210, True)
    assert lines["p1"]["cards"][0].startswith("node1 ")
    assert (lines["p2"]["vlan"], lines["p2"]["place"]) == (None, "no VLAN")
    assert lines["x9"]["allowed"] is False
    assert tor.read_asked_at is None
    assert tor.read_at


def test_a_ring_that_was_lost_is_rung_again(tor, queue, django_capture_on_commit_callbacks):
    reading_ports.request([tor.pk], by="ada")
    with django_capture_on_commit_callbacks(execute=True):
        reading_ports.ring_for_due()
    assert queue.count == 0, "it may be under way"
    Switch.objects.update(read_asked_at=now() - reading_ports.ASKED_AGAIN_AFTER)
    with django_capture_on_commit_callbacks(execute=True):
        reading_ports.ring_for_due()
    assert queue.count == 1


def test_a_silent_switch_has_one_line(tor):
    fake.faults["tor port p1"] = ["cannot be read"]
    reading_ports.request([tor.pk], by="ada")
    reading_ports.run_due()
    assert Switch.objects.get().read_report == [{"port": "", "problem": "tor port p1: does not answer"}]


def test_what_a_switch_says_is_one_plain_line(tor):
    def hostile(_port: str, _what: str) -> None:
        raise NetworkError("\x1b[2J<script>\r\nERROR forged line" + "x" * 5000)

    fake.listeners.append(hostile)
    reading_ports.request([tor.pk], by="ada")
    reading_ports.run_due()
    [row] = Switch.objects.get().read_report
    assert row["problem"].startswith("[2J<script> ERROR forged line")
    assert len(row["problem"]) == 200


# Rows.


def test_secrets_are_sealed_and_leave_only_that_they_changed(tor):
    with acting(lambda: Actor("ada")):
        tor.set_secrets({"password": "canary-of-a-switch", "enable": ""})
        tor.vlans = "300"
        tor.save()
    tor.refresh_from_db()
    assert tor.secrets() == {"password": "canary-of-a-switch"}
    assert tor.endpoint().settings["password"] == "canary-of-a-switch"
    assert "canary" not in tor.secrets_sealed + repr(tor.endpoint()) + str(tor.endpoint())
    [change] = changes_of_any(tor)
    assert change.words == "password changed, VLANs that Dodai may use 1, 210-219 → 300"
    assert "canary" not in json.dumps(list(Switch.history.values("history_changes", "settings")))


def test_secrets_go_along_when_the_key_is_replaced():
    columns = [(column.model, column.name) for column in rotation.COLUMNS]
    assert (Switch, "secrets_sealed") in columns


def test_secrets_of_another_key_are_told(tor, monkeypatch):
    tor.secrets_sealed = keys.encrypt("{}", purpose="another purpose")
    tor.save()
    with pytest.raises(MoveRefused, match="its secrets cannot be read"):
        cabling.move_cards({card_in(tor, "p1"): 210}, by="ada")


# What an older Dodai's rows become.


@pytest.mark.django_db(transaction=True)
def test_names_of_switches_become_switches_and_back(request):
    request.addfinalizer(scenes.restore_groups)
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    machine = installing.make_machine()
    machine.interfaces.all().delete()
    before = [("machines", "0007_settings")]
    try:
        old = migrate(before)
        cards = old.get_model("machines", "Interface")
        for number, name in enumerate(["tor-1", " tor-1", "tor-2", ""]):
            cards.objects.create(
                machine_id=machine.pk, mac=f"52:54:00:00:01:{number:02x}", switch=name, switch_port=f"p{number}"
            )
    finally:
        migrate(newest)
    found = [(card.switch.name if card.switch else None, card.switch_port) for card in machine.interfaces.all()]
    assert sorted(found, key=lambda pair: pair[1]) == [("tor-1", "p0"), ("tor-1", "p1"), ("tor-2", "p2"), (None, "p3")]
    assert {(row.driver, row.vlans, row.ports) for row in Switch.objects.all()} == {("manual", "", "")}
    try:
        old = migrate(before)
        names = old.get_model("machines", "Interface").objects.order_by("mac").values_list("switch", flat=True)
        assert list(names) == ["tor-1", "tor-1", "tor-2", ""]
    finally:
        migrate(newest)
