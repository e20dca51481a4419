"""Who edited the inventory, and what: no row for what Dodai does by itself, no secret in any."""

from datetime import timedelta

import pytest
from django.urls import reverse

from machines import actions, facts
from machines.acting import Actor, acting
from machines.history import changes_of
from machines.models import Bmc, Cluster, Credentials, Disk, Interface, Machine, MachineType, Site, Switch, Vlan
from machines.models.history import HISTORIES, record_many
from machines.power.base import Power
from tests import installing, scenes

pytestmark = pytest.mark.django_db
ADA = Actor("ada")


@pytest.fixture
def machine() -> Machine:
    return installing.make_machine()


def rows() -> int:
    return sum(model.history.count() for model in HISTORIES)


def edit(thing, **values) -> None:
    with acting(lambda: ADA):
        for name, value in values.items():
            setattr(thing, name, value)
        thing.save()


def said(machine: Machine) -> list[str]:
    return [change.words for change in changes_of(machine)]


def test_an_edit_says_who_changed_what(machine):
    edit(machine, rack="R2", owner="grace")
    change = changes_of(machine)[0]
    assert (change.by, change.words) == ("ada", "rack nothing → R2, owner nothing → grace")
    assert machine.history.first().rack == "R2"


def test_other_rows_are_called_by_their_names(machine):
    web, db = (Cluster.objects.create(name=name) for name in ("web", "db"))
    edit(machine, cluster=web)
    edit(machine, cluster=db)
    edit(machine, cluster=None)
    assert said(machine) == ["cluster db → nothing", "cluster web → db", "cluster nothing → web"]


def test_what_belongs_to_a_machine_is_told_with_it(machine):
    edit(machine.bmc, host="10.0.0.9", driver="ipmi")
    edit(machine.interfaces.get(), switch=Switch.objects.create(name="tor-1"), switch_port="1/7")
    edit(Disk(machine=machine, serial="D9"))
    assert said(machine) == [
        "disk D9 added",
        "network card 52:54:00:00:00:01: switch nothing → tor-1, switch port nothing → 1/7",
        "BMC: power driver fake → ipmi, address nothing → 10.0.0.9",
    ]


@pytest.mark.parametrize("model", [Bmc, Credentials])
def test_a_password_leaves_only_that_it_changed(machine, model):
    thing = machine.bmc if model is Bmc else Credentials.objects.create(name="rack", username="root")
    thing.set_password("first-secret")
    thing.save()
    with acting(lambda: ADA):
        thing.set_password("second-secret")
        thing.save()
    row = model.history.get()
    assert row.history_changes == {"password_sealed": []}
    assert not hasattr(row, "password_sealed")
    if model is Bmc:
        assert said(machine) == ["BMC: password changed"]


def test_dodais_own_work_leaves_no_row(machine):
    before = rows()
    actions.record_power(machine, Power.ON, next_in=timedelta(seconds=30))
    scenes.installed(machine, installing.make_image())
    actions.apply_facts(machine, facts.parse({"disks": [{"path": "/dev/sdb", "serial": "NEW", "size_bytes": 1}]}))
    machine.refresh_from_db()
    actions.set_aside(machine, by="ada", why="fan", until=None)
    assert rows() == before == 0


def test_saving_without_a_change_leaves_no_row(machine):
    edit(machine)
    edit(machine.bmc)
    with acting(lambda: ADA):
        machine.power_error = "x"
        machine.save(update_fields=["power_error"])
    assert [row.history_changes for model in HISTORIES for row in model.history.all()] == []


def test_an_edit_next_to_the_engines_is_told_alone(machine):
    """What an inspection filled in since is not put down to who edits next."""
    Machine.objects.filter(pk=machine.pk).update(serial="FOUND", state="in_use")
    machine.refresh_from_db()
    edit(machine, rack="R1")
    assert said(machine) == ["rack nothing → R1"]


def test_removing_is_told(machine):
    with acting(lambda: ADA):
        machine.interfaces.get().delete()
    assert said(machine) == ["network card 52:54:00:00:00:01 removed"]


def test_choosing_a_root_disk_is_told(machine):
    other = Disk.objects.create(machine=machine, serial="DISK9", size_bytes=1)
    with acting(lambda: ADA):
        actions.choose_root_disk(other)
    assert said(machine) == ["disk DISK9: installs go there no → yes", "disk DISK1: installs go there yes → no"]


def test_somebody_logged_in_is_named(client, machine):
    client.force_login(scenes.make_user("operator", name="grace"))
    client.post(reverse("choose_cluster", args=[machine.name]), {"cluster": Cluster.objects.create(name="web").pk})
    change = changes_of(machine)[0]
    assert (change.by, change.words) == ("grace", "cluster nothing → web")
    assert machine.history.get().history_user.username == "grace"


def test_the_number_of_queries_is_the_same_for_any_history(machine, django_assert_num_queries):
    for number in range(30):
        edit(machine, rack=f"R{number}")
        edit(Interface(machine=machine, mac=f"52:54:00:00:01:{number:02x}"))
    with django_assert_num_queries(5):
        assert len(changes_of(machine, 20)) == 20
    assert "→ R29" in said(machine)[1]


def test_rows_written_in_bulk_are_told_as_well(machine):
    with acting(lambda: ADA):
        record_many([(machine, "~", {"rack": ["", "R7"]}), (machine.bmc, "+", {})])
    assert said(machine) == ["BMC added", "rack nothing → R7"]


@pytest.mark.parametrize("model", [Cluster, Vlan, Site, MachineType, Credentials, Machine, Bmc, Interface, Disk])
def test_only_what_people_fill_in_is_kept(model):
    kept = {field.name for field in model.history.model._meta.fields}
    engines = {"state", "handled_by", "image_name", "inspected_at", "facts", "password_sealed", "signatures", "path"}
    assert not kept & engines
    assert not any(name.startswith(("power_", "aside_", "tls_", "test_")) for name in kept)
