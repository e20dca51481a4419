"""Two rows that would be one machine are refused on every way in; no other machine than the inventory's is written to.

Hypothesis chooses what is there twice, how it is spelled and which way it comes; the way is the real one.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core import management
from django.db import transaction
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from installs import flow
from installs.lifecycle import ENDED
from installs.models import Install
from machines import actions, adopting, facts, inventory
from machines.actions import NotThisMachine
from machines.models import Bmc, Disk, Interface, Machine, Sighting
from machines.power import fake
from tests import installing, scenes
from tests.guarantees.tally import rounds
from tests.installing import Server, facts_of, make_machine

pytestmark = pytest.mark.django_db

SEED = 24
OWNER, NEW = "owner", "new"
SERIAL, MAC, HOST = "CZ3407TWQR", "3c:ec:ef:0a:0b:0c", "10.20.0.7"
UUID = "4c4c4544-0042-3510-8054-b9c04f4a5331"


@pytest.fixture(autouse=True)
def _fakes(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)
    fake.forget()
    yield
    fake.forget()


@pytest.fixture
def owner(db) -> Machine:
    """The machine that has everything already."""
    machine = make_machine(OWNER, driver="ipmi", serial=SERIAL, uuid=UUID)
    machine.interfaces.update(mac=MAC)
    Bmc.objects.filter(machine=machine).update(host=HOST)
    return machine


# How vendors, tools and people write the same thing

_swapped = str(uuid.UUID(bytes_le=uuid.UUID(UUID).bytes))
SPELLINGS = {
    "mac": [MAC, MAC.upper(), MAC.replace(":", "-"), MAC.replace(":", "")],
    "serial": [SERIAL, SERIAL.lower(), f" {SERIAL} "],
    "uuid": [UUID, UUID.upper(), _swapped, _swapped.upper(), UUID.replace("-", "")],
    "host": [HOST, f" {HOST}", f"{HOST}."],
}
FRESH = {"mac": "3c:ec:ef:0a:0b:0d", "serial": "FRESH-1", "uuid": str(uuid.UUID(int=5 << 64 | 7)), "host": "10.20.0.8"}

# The ways in. Each takes what the new machine would have, and returns what was said; it raises where it was let in.


def by_admin(values: dict[str, str]) -> str:
    """The form for a new machine, as a browser sends it."""
    client = Client()
    client.force_login(_person())
    form = {
        "name": NEW, "site": installing.main_site().pk, "serial": values["serial"], "uuid": values["uuid"],
        "bmc-TOTAL_FORMS": "1", "bmc-INITIAL_FORMS": "0", "bmc-0-driver": "ipmi", "bmc-0-host": values["host"],
        "bmc-0-port": "623", "interfaces-TOTAL_FORMS": "1", "interfaces-INITIAL_FORMS": "0",
        "interfaces-0-mac": values["mac"], "interfaces-0-role": "service",
        "disks-TOTAL_FORMS": "0", "disks-INITIAL_FORMS": "0",
        "links-TOTAL_FORMS": "0", "links-INITIAL_FORMS": "0",
    }  # fmt: skip
    response = client.post(reverse("admin:machines_machine_add"), form)
    assert response.status_code == 200, "it was saved"
    return response.content.decode()


def by_form(values: dict[str, str]) -> str:
    """The page that makes a machine of a sighting."""
    client = Client()
    client.force_login(_person())
    sighting = _sighting(values)
    form = {"name": NEW, "serial": values["serial"], "uuid": values["uuid"]}
    response = client.post(reverse("sighting", args=[sighting.pk]), form)
    sighting.delete()
    assert response.status_code in (409, 422), response.status_code
    return response.content.decode()


def by_adoption(values: dict[str, str]) -> str:
    sighting = _sighting(values)
    with pytest.raises(actions.Refused) as refused:
        adopting.adopt(sighting, name=NEW, serial=values["serial"], uuid=values["uuid"])
    sighting.delete()
    return str(refused.value)


def by_another_card(values: dict[str, str]) -> str:
    """The card goes to a machine that is there."""
    sighting = _sighting(values)
    present = make_machine(NEW, number=9)
    try:
        with pytest.raises(actions.Refused) as refused:
            adopting.add_card(sighting, name=NEW)
    finally:
        sighting.delete()
        present.delete()
    return str(refused.value)


def by_csv(values: dict[str, str]) -> str:
    text = "name,serial,uuid,mac_1,bmc_driver,bmc_host\n"
    text += ",".join((NEW, values["serial"], values["uuid"], values["mac"], "ipmi", values["host"])) + "\n"
    return _refused_file(text, "machines.csv")


def by_yaml(values: dict[str, str]) -> str:
    machine = {
        "name": NEW, "serial": values["serial"], "uuid": values["uuid"], "interfaces": [{"mac": values["mac"]}],
        "bmc": {"driver": "ipmi", "host": values["host"]},
    }  # fmt: skip
    return _refused_file(json.dumps({"machines": [machine]}), "machines.yaml")


def by_command(values: dict[str, str], tmp_path: Any) -> str:
    path = tmp_path / "new.json"
    machine = {
        "name": NEW, "serial": values["serial"], "uuid": values["uuid"], "interfaces": [{"mac": values["mac"]}],
        "bmc": {"driver": "ipmi", "host": values["host"]},
    }  # fmt: skip
    path.with_suffix(".yaml").write_text(json.dumps({"machines": [machine]}))
    with pytest.raises(management.CommandError) as refused:
        management.call_command("machines", "import", str(path.with_suffix(".yaml")), stdout=StringIO())
    return str(refused.value)


def by_inspection(values: dict[str, str]) -> str:
    """What a machine's ramdisk finds in it, of one that nobody knows much of yet."""
    machine = make_machine(NEW, number=9, serial="", uuid="", state="new")
    said = facts_of(machine, "b") | {"serial": values["serial"], "uuid": values["uuid"], "bmc_address": values["host"]}
    said["interfaces"] = [*said["interfaces"], {"name": "eth1", "mac": values["mac"]}]
    try:
        with pytest.raises(NotThisMachine) as refused:
            actions.apply_facts(machine, facts.parse(said))
    finally:
        machine.delete()
    return str(refused.value)


ALL = ("mac", "serial", "uuid", "host")
WAYS: dict[Callable[..., str], tuple[str, ...]] = {
    by_admin: ALL, by_form: ALL[:3], by_adoption: ALL[:3], by_another_card: ALL[:1],
    by_csv: ALL, by_yaml: ALL, by_command: ALL, by_inspection: ALL,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_one_machine_has_no_other_gets(guarantee, owner, tmp_path, way):
    tally = guarantee("T24", f"Twins are refused {way.__name__.replace('_', ' ')}, and both are named", seed=SEED)
    before = _everything()
    extra = {"tmp_path": tmp_path} if way is by_command else {}

    @seed(SEED)
    @_settings(rounds(12, 400))
    @given(st.sampled_from(WAYS[way]).flatmap(lambda fact: st.tuples(st.just(fact), st.sampled_from(SPELLINGS[fact]))))
    def check(twin: tuple[str, str]) -> None:
        fact, spelling = twin
        with tally.trial():
            said = way(FRESH | {fact: spelling}, **extra)
            assert OWNER in said, f"{fact} {spelling!r}: {said[-3000:]}"
            assert NEW in said or "line" in said
            assert _everything() == before

    check()


def test_what_is_no_twin_is_let_in(owner, tmp_path):
    """The ways are open: what the test above sees refused is refused for the twin."""
    for way, closed in (
        (by_csv, pytest.fail.Exception),
        (by_adoption, pytest.fail.Exception),
        (by_admin, AssertionError),
    ):
        with pytest.raises(closed), transaction.atomic():
            way(dict(FRESH))
        Machine.objects.filter(name=NEW).delete()


def _settings(count: int) -> settings:
    return settings(
        max_examples=count, deadline=None, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip


def _person():
    from django.contrib.auth import get_user_model

    return get_user_model().objects.filter(username="admin").first() or scenes.make_user("admin", is_staff=True)


def _sighting(values: dict[str, str]) -> Sighting:
    """Its MAC was entered by somebody else after it was seen: seen ones are unknown at first."""
    from machines.identity import normal_mac

    return Sighting.objects.create(mac=normal_mac(values["mac"]))


def _refused_file(text: str, name: str) -> str:
    with pytest.raises(inventory.InventoryProblem) as refused:
        inventory.import_text(text, name)
    return "; ".join(str(problem) for problem in refused.value.problems)


def _everything() -> list[Any]:
    """Every row of the inventory, as it is stored."""
    return [list(model.objects.order_by("pk").values()) for model in (Machine, Bmc, Interface, Disk, Sighting)]


# A machine that is not the inventory's asks for the installer


OTHER = {
    "another serial number": {"serial": "OTHER-1"},
    "no serial number": {"serial": "Default string"},
    "another system UUID": {"uuid": str(uuid.UUID(int=99))},
    "no system UUID": {"uuid": "00000000-0000-0000-0000-000000000000"},
    "its card is gone": {"interfaces": [{"name": "eth0", "mac": "52:54:00:00:00:77"}]},
    "a card of another machine": {"interfaces": [{"mac": "52:54:00:00:00:01"}, {"mac": MAC}]},
    "another machine's BMC": {"bmc_address": HOST},
}


@pytest.mark.parametrize("was_on", [True, False])
@pytest.mark.parametrize("what", OTHER)
def test_another_machine_stops_before_the_first_write_and_keeps_its_power(guarantee, owner, what, was_on):
    tally = guarantee(
        "T25", "Another machine than the inventory's stops before its first write; its power is left as is"
    )
    with tally.trial():
        ended, answer = _ask_grant(make_machine(), was_on=was_on, **OTHER[what])
        assert "DODAI_GRANTED=no" in answer
        assert "DODAI_FIRST_BOOT_URL" not in answer
        assert (ended.state, ended.cause, ended.granted_at) == ("failed", "identity", None)
        assert "Nothing was written" in ended.error
        assert fake.states["node1"] == ("on" if was_on else "off")


@pytest.mark.parametrize("known", [("serial",), ("uuid",), ("serial", "uuid")])
def test_a_machine_known_by_its_card_only_is_not_taken_for_another(guarantee, owner, known):
    """Its serial number and UUID were junk; the card was moved into the machine `owner`, which says so."""
    tally = guarantee("T25", "A card that was moved into another machine does not make it the one that is installed")
    with tally.trial():
        said = {name: {"serial": SERIAL, "uuid": UUID}[name] for name in known}
        ended, answer = _ask_grant(make_machine(serial="", uuid=""), **said)
        assert "DODAI_GRANTED=no" in answer
        assert (ended.cause, ended.granted_at) == ("identity", None)
        assert OWNER in ended.error


def test_the_machine_itself_is_granted(owner):
    ended, answer = _ask_grant(make_machine())
    assert "DODAI_GRANTED=yes" in answer
    assert ended.granted_at


def test_any_mixture_of_two_machines_is_refused(guarantee, owner, settings):
    """Cards, board and disks of two machines of the inventory, put together as people move parts."""
    settings.ROOT_URLCONF, settings.MIDDLEWARE = "dodaiweb.provision_urls", []
    node = make_machine()
    mine, theirs = facts_of(node, "b"), facts_of(Machine.objects.get(name=OWNER), "b")
    tally = guarantee("T25", "Of parts of two machines, only the whole machine of the plan is granted", seed=SEED)
    install = installing.start(node)
    _work()
    server = Server(node)
    assert server.boot()
    server.say("install")
    parts = ("serial", "uuid", "interfaces")

    @seed(SEED)
    @_settings(rounds(16, 500))
    @given(st.tuples(*(st.sampled_from(("mine", "theirs")) for _ in parts)))
    def check(origin: tuple[str, ...]) -> None:
        found = {part: (mine if source == "mine" else theirs)[part] for part, source in zip(parts, origin, strict=True)}
        with tally.trial(), transaction.atomic():
            answer = server.ask_grant(**found)
            assert ("DODAI_GRANTED=yes" in answer) == (set(origin) == {"mine"}), origin
            install.refresh_from_db()
            assert (install.granted_at is not None) == (set(origin) == {"mine"})
            transaction.set_rollback(True)

    check()


def _ask_grant(machine: Machine, *, was_on: bool = True, **found: Any) -> tuple[Install, str]:
    """Install it; its ramdisk finds this. Returns the install once it has ended, if it was refused."""
    install = installing.start(machine)
    _work()
    server = Server(machine)
    with pytest.MonkeyPatch.context() as patch:
        from django.conf import settings

        patch.setattr(settings, "ROOT_URLCONF", "dodaiweb.provision_urls")
        patch.setattr(settings, "MIDDLEWARE", [])
        assert server.boot()
        server.say("install")
        fake.states["node1"] = fake.Power.ON if was_on else fake.Power.OFF
        answer = server.ask_grant(**found)
    _work()
    install.refresh_from_db()
    assert install.state in ENDED or install.granted_at
    return install, answer


def _work() -> None:
    flow.begin_next()
    while flow.run_due():
        pass
