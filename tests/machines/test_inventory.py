"""Identity, facts and keys."""

import logging
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from dodaiweb import keys
from dodaiweb.masking import MaskTokens
from machines import actions, facts, identity, key_proof
from machines.models import Bmc, Interface, Machine, Site
from tests import installing, scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(db) -> Site:
    return Site.objects.get_or_create(name="main")[0]


@pytest.mark.parametrize(
    "text", ["52:54:00:AB:cd:ef", "52-54-00-ab-cd-ef", "525400abcdef", "5254.00ab.cdef", "01-52-54-00-ab-cd-ef"]
)
def test_a_mac_in_any_spelling(text):
    assert identity.normal_mac(text) == "52:54:00:ab:cd:ef"


@pytest.mark.parametrize("text", ["", "52:54:00:ab:cd", "52:54:00:ab:cd:eg", "01:00:5e:00:00:01", "00:00:00:00:00:00"])
def test_what_is_no_mac(text):
    with pytest.raises(identity.BadIdentity):
        identity.normal_mac(text)


@pytest.mark.parametrize("text", ["To Be Filled By O.E.M.", " 0123456789 ", "Default string", "", None, "None"])
def test_junk_serial_numbers_count_as_empty(text):
    assert identity.normal_serial(text) == ""


def test_junk_uuids_count_as_empty():
    assert identity.normal_uuid("03000200-0400-0500-0006-000700080009") == ""


def test_two_machines_with_junk_serials_are_fine_and_with_real_ones_are_not(site):
    for name in ("a", "b"):
        Machine.objects.create(name=name, site=site, serial="Default string")
    Machine.objects.create(name="c", site=site, serial="S1")
    with pytest.raises(IntegrityError), transaction.atomic():
        Machine.objects.create(name="d", site=site, serial="S1")


def test_one_uuid_in_two_byte_orders_is_one_machine(site):
    value = uuid.uuid4()
    Machine.objects.create(name="a", site=site, uuid=str(value))
    twin = Machine(name="b", site=site, uuid=str(uuid.UUID(bytes_le=value.bytes)))
    with pytest.raises(ValidationError, match=r"b: .* belongs to a"):
        twin.full_clean()


def test_a_bmc_belongs_to_one_machine(site):
    for name in ("a", "b"):
        Machine.objects.create(name=name, site=site)
    Bmc.objects.create(machine=Machine.objects.get(name="a"), driver="ipmi", host="10.0.0.1")
    with pytest.raises(IntegrityError), transaction.atomic():
        Bmc.objects.create(machine=Machine.objects.get(name="b"), driver="ipmi", host="10.0.0.1")


def test_a_bmc_password_is_sealed_in_the_database():
    machine = installing.make_machine()
    machine.bmc.set_password("correct horse")
    machine.bmc.save()
    stored = Bmc.objects.get().password_sealed
    assert "correct" not in stored
    assert Bmc.objects.get().endpoint().password == "correct horse"
    with pytest.raises(keys.KeyProblem):
        keys.decrypt(stored, purpose="something else")


def test_a_lost_key_stops_the_start_with_words(tmp_path):
    keys.ensure(tmp_path, database_exists=False)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    before = keys.read(tmp_path, "field_key")
    keys.ensure(tmp_path, database_exists=True)
    assert keys.read(tmp_path, "field_key") == before
    (tmp_path / "keys" / "field_key").unlink()
    with pytest.raises(keys.KeyProblem, match="put the file back"):
        keys.ensure(tmp_path, database_exists=True)
    (tmp_path / "keys" / "field_key").write_text("")
    with pytest.raises(keys.KeyProblem, match="too short"):
        keys.ensure(tmp_path, database_exists=True)


def test_another_key_than_the_databases_is_noticed(settings, tmp_path):
    """As with PostgreSQL and a new data folder, where no missing file tells."""
    key_proof.check()
    key_proof.check()
    settings.DATA = scenes.other_keys(tmp_path)
    with pytest.raises(keys.KeyProblem, match="put the right key file back"):
        key_proof.check()


def test_inspection_fills_the_inventory(site):
    machine = Machine.objects.create(name="new", site=site)
    Interface.objects.create(machine=machine, mac="52:54:00:00:00:01", is_pxe=True)
    found = {
        "boot_id": "x",
        "firmware": "uefi",
        "serial": "SN9",
        "uuid": str(uuid.uuid4()),
        "memory_bytes": 1 << 30,
        "interfaces": [
            {"name": "eth0", "mac": "52:54:00:00:00:01", "link": True, "speed_mbps": 1000},
            {"name": "eth1", "mac": "52:54:00:00:00:02"},
        ],
        "disks": [
            {"path": "/dev/sda", "serial": "USB", "size_bytes": 8 << 30, "removable": True},
            {
                "path": "/dev/nvme0n1",
                "serial": "N1",
                "wwn": "eui.1",
                "size_bytes": 1 << 40,
                "signatures": [{"type": "ext4"}],
            },
        ],
    }
    actions.apply_facts(machine, facts.parse(found))
    machine.refresh_from_db()
    assert (machine.state, machine.serial, machine.firmware) == ("free", "SN9", "uefi")
    assert machine.interfaces.count() == 2
    assert [disk.serial for disk in machine.disks.filter(is_root=True)] == ["N1"], "the one disk that is not removable"


@pytest.mark.parametrize("known", [{"serial": "N1"}, {"wwn": "eui.1"}, {"serial": "N1", "wwn": "eui.1"}])
def test_a_disk_of_the_inventory_is_known_again_by_either_name(site, known):
    machine = Machine.objects.create(name="new", site=site)
    machine.disks.create(is_root=True, **known)
    found = {"path": "/dev/nvme0n1", "serial": "N1", "wwn": "eui.1", "size_bytes": 1 << 40}
    actions.apply_facts(machine, facts.parse({"disks": [found]}))
    disk = machine.disks.get()
    assert (disk.serial, disk.wwn, disk.path, disk.is_root) == ("N1", "eui.1", "/dev/nvme0n1", True)


def test_two_possible_root_disks_are_left_to_the_operator(site):
    machine = Machine.objects.create(name="new", site=site)
    disks = [{"path": f"/dev/sd{c}", "serial": f"D{c}", "size_bytes": 1 << 40} for c in "ab"]
    actions.apply_facts(machine, facts.parse({"disks": disks}))
    assert not machine.disks.filter(is_root=True).exists()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"serial": "OTHER"}, "inventory says SN1"),
        ({"interfaces": [{"mac": "52:54:00:00:00:02"}]}, "belongs to node2"),
    ],
)
def test_inspection_of_another_machine_changes_nothing(found, words):
    machine, _ = installing.make_machine(), installing.make_machine("node2", number=2)
    with pytest.raises(actions.NotThisMachine, match=words):
        actions.apply_facts(machine, facts.parse(found))
    assert machine.interfaces.count() == 1


def test_a_serial_number_that_two_disks_have_chooses_neither(site):
    """Two namespaces or LUNs of one device carry its serial number."""
    machine = Machine.objects.create(name="new", site=site)
    machine.disks.create(serial="S", is_root=True)
    disks = [{"path": f"/dev/nvme0n{n}", "serial": "S", "wwn": f"eui.{n}", "size_bytes": 1 << 40} for n in (1, 2)]
    actions.apply_facts(machine, facts.parse({"disks": disks}))
    assert not machine.disks.filter(is_root=True).exists()


def test_tokens_stay_out_of_log_lines(caplog):
    token = "A" * 43
    record = logging.LogRecord("django.request", logging.WARNING, "", 0, "Gone: %s", (f"/first-boot/{token}",), None)
    MaskTokens().filter(record)
    assert record.getMessage() == "Gone: /first-boot/•••"
