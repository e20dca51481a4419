"""The inventory in and out of files: all of it or nothing, what is wrong by line and column, no password out."""

import uuid
from contextlib import suppress

import pytest
import yaml
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from machines import inventory
from machines.acting import Actor, acting
from machines.history import changes_of
from machines.inventory.exporting import _not_a_formula
from machines.inventory.reading import _plain
from machines.inventory.storing import Changed
from machines.models import (
    Bmc,
    Cluster,
    Credentials,
    Disk,
    Interface,
    Machine,
    MachineType,
    Site,
    Switch,
    Vlan,
)
from tests import installing

pytestmark = pytest.mark.django_db
UUID = "4c4c4544-0042-3510-8054-b9c04f4a5331"

WHOLE = """
sites:
- {name: osaka, provision_url: http://10.1.0.2:8001, provision_vlan: 30}
machine_types:
- {name: r640, boot_order: network, kernel_args: "console=ttyS1,115200n8"}
vlans:
- {vid: 30, name: storage}
clusters:
- {name: ceph, vlan: 30, colour: "#14b8a6", network: 10.3.0.0/24, first_address: 10.3.0.9, gateway: 10.3.0.1}
credentials:
- {name: rack-7, username: root, password: shared-secret}
machines:
- name: n1
  site: osaka
  type: r640
  cluster: ceph
  rack: R7
  unit: 12
  serial: SN1
  uuid: 4C4C4544-0042-3510-8054-B9C04F4A5331
  owner: storage team
  notes: "two lines\\nof notes"
  protected: yes
  bmc: {driver: ipmi, host: 10.0.9.1, credentials: rack-7}
  interfaces:
  - {mac: 52-54-00-00-00-01, name: eno1, switch: tor-7, switch_port: 1/12}
  - {mac: 525400000002, address: 10.3.0.7/24, gateway: 10.3.0.1, dns: 10.3.0.1}
  disks:
  - {serial: DISK9, root: yes}
  - {wwn: eui.0025385b71b0d8f9}
- name: n2
  bmc: {host: 10.0.9.2, username: admin, password: own-secret}
"""


def enter(text: str, name: str = "machines.yaml") -> inventory.Result:
    return inventory.import_text(text, name)


def plan(text: str, name: str = "machines.yaml") -> inventory.Plan:
    return inventory.make_plan(inventory.read(text, name))


def problems(text: str, name: str = "machines.csv") -> list[str]:
    with pytest.raises(inventory.InventoryProblem) as caught:
        enter(text, name)
    return [str(problem) for problem in caught.value.problems]


def test_a_document_fills_an_empty_inventory():
    assert enter(WHOLE).created == 8
    n1 = Machine.objects.get(name="n1")
    assert (n1.site.name, n1.type.boot_order, n1.cluster.vlan.vid, n1.unit) == ("osaka", "network", 30, 12)
    assert (n1.site.provision_vlan.vid, n1.cluster.network, n1.cluster.gateway) == (30, "10.3.0.0/24", "10.3.0.1")
    assert (n1.uuid, n1.protected, n1.notes, n1.state) == (UUID, True, "two lines\nof notes", "new")
    assert n1.bmc.endpoint().password == "shared-secret"
    assert [(card.mac, card.is_pxe) for card in n1.interfaces.all()] == [
        ("52:54:00:00:00:01", True), ("52:54:00:00:00:02", False),
    ]  # fmt: skip
    assert (n1.pxe_interface.switch.name, n1.pxe_interface.switch_port) == ("tor-7", "1/12")
    assert n1.pxe_interface.switch.driver == "manual", "nothing more is known of it"
    assert n1.disks.get(is_root=True).serial == "DISK9"
    n2 = Machine.objects.get(name="n2")
    assert (n2.site.name, n2.bmc.driver, n2.bmc.endpoint().password) == ("main", "ipmi", "own-secret")
    assert "secret" not in n2.bmc.password_sealed


@pytest.mark.parametrize(
    ("export", "name"), [(inventory.export_csv, "machines.csv"), (inventory.export_yaml, "machines.yaml")]
)
def test_what_was_exported_changes_nothing_when_it_is_imported(export, name):
    enter(WHOLE)
    Machine.objects.filter(name="n2").update(notes=" =1+1\r\n'- odd ", owner="'=x", rack="-")
    text = export()
    assert "secret" not in text
    again = plan(text, name)
    assert not again.problems
    assert [item.changes for entry in again.changed for item in entry.items] == []
    assert again.new == []
    assert again.unchanged == len(again.entries)


def test_an_export_fills_an_empty_inventory_with_the_same():
    enter(WHOLE)
    text = inventory.export_yaml()
    Machine.objects.all().delete()
    Site.objects.filter(name="osaka").delete()
    for model in (Cluster, Vlan, MachineType, Credentials):
        model.objects.all().delete()
    enter(text)
    assert inventory.export_yaml() == text


def test_a_spreadsheet_of_one_row_a_machine():
    enter(WHOLE)
    enter(
        "name;rack;bmc_host;bmc_username;bmc_password;mac_1;switch_1;switch_port_1;mac_2;disk_1;disk_root_1\r\n"
        "n3;R9;10.0.9.3;root;pass;52:54:00:00:00:31;tor-9;2;52:54:00:00:00:32;D3;yes\r\n"
        "n1;R8;;;;;;;;;\r\n",
        "machines.csv",
    )
    n3 = Machine.objects.get(name="n3")
    assert (n3.pxe_interface.switch_port, n3.interfaces.count(), n3.disks.get().is_root) == ("2", 2, True)
    assert n3.bmc.endpoint().password == "pass"
    n1 = Machine.objects.get(name="n1")
    assert (n1.rack, n1.owner, n1.interfaces.count()) == ("R8", "storage team", 2), "an empty cell changes nothing"


def test_switches_have_a_section_and_keep_what_dodai_may_move():
    text = (
        WHOLE
        + "switches:\n- {name: tor-7, driver: openvswitch, vlans: '30, 210-219', ports: 1/1..24, quarantine: 30}\n"
    )
    enter(text)
    tor = Switch.objects.get()
    assert (tor.driver, tor.vlans, tor.quarantine.vid, len(tor.rules().ports)) == ("openvswitch", "30, 210-219", 30, 24)
    tor.settings = {"bridge": "br0", "database": "tcp:10.0.0.9:6640"}
    tor.set_secrets({"password": "canary-of-a-switch"})
    tor.save()
    exported = inventory.export_yaml()
    assert "ports: 1/1..24" in exported
    assert "canary" not in exported + inventory.export_csv()
    assert tor.secrets_sealed not in exported
    assert not plan(exported, "machines.yaml").changed
    enter("switches:\n- {name: tor-7, notes: in the cellar}\n")
    assert Switch.objects.get().secrets() == {"password": "canary-of-a-switch"}, "an import leaves them"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{name: tor-7, vlans: 0}", "column vlans: 0 is no VLAN"),
        ("{name: tor-7, ports: 'a b|c'}", "column ports: b|c is no name of a port"),
        ("{name: tor-7, driver: telnet}", "column driver: choose one of netmiko, openvswitch"),
        ("{name: tor-7, quarantine: 77}", "column quarantine: there is no vlan 77"),
        ("{name: tor-7, password: x}", "column password: there is no such entry here"),
    ],
)
def test_what_is_wrong_with_a_switch(line, expected):
    assert any(expected in said for said in problems(f"switches:\n- {line}\n", "machines.yaml"))


def test_a_switch_is_made_from_its_name_once_and_a_name_too_long_is_no_switch():
    enter("name,mac_1,switch_1,mac_2,switch_2\nn1,525400000001,tor-1,525400000002,tor-1\n", "machines.csv")
    enter("name,mac_1,switch_1\nn2,525400000003,tor-1\n", "machines.csv")
    assert [switch.name for switch in Switch.objects.all()] == ["tor-1"]
    assert Interface.objects.filter(switch__name="tor-1").count() == 3
    enter("name,mac_1,switch_1\nn2,525400000003,-\n", "machines.csv")
    assert Interface.objects.filter(switch__name="tor-1").count() == 2
    assert "column switch_1" in problems(f"name,mac_1,switch_1\nn3,525400000004,{'x' * 64}\n")[0]


def test_a_hyphen_empties():
    enter(WHOLE)
    enter("name,owner,unit,cluster\nn1,-,-,-\n", "machines.csv")
    n1 = Machine.objects.get(name="n1")
    assert (n1.owner, n1.unit, n1.cluster) == ("", None, None)


def test_the_preview_says_what_would_change_and_writes_nothing():
    enter(WHOLE)
    text = "name,rack,bmc_host,bmc_password,mac_1,switch_1\nn1,R8,10.0.9.9,new-secret,525400000001,tor-8\nn9,R1,,,,\n"
    made = plan(text, "machines.csv")
    assert [entry.item.row.name for entry in made.new] == ["n9", "tor-8"]
    changes = {item.kind.name: item.changes for item in made.changed[0].items}
    assert changes == {
        "machine": {"rack": ["R7", "R8"]},
        "bmc": {"host": ["10.0.9.1", "10.0.9.9"], "password_sealed": []},
        "interface": {"switch": ["tor-7", "tor-8"]},
    }
    assert "new-secret" not in made.digest + str(made.problems)
    assert Machine.objects.get(name="n1").rack == "R7"


def test_a_password_that_is_stored_already_is_no_change():
    enter(WHOLE)
    assert plan("name,bmc_password\nn2,own-secret\n", "machines.csv").unchanged == 1
    assert plan("name,bmc_password\nn2,other\n", "machines.csv").unchanged == 0


def test_another_card_to_boot_from_and_another_root_disk_give_up_the_ones_before():
    enter(WHOLE)
    text = "name,mac_1,pxe_1,disk_wwn_1,disk_root_1\nn1,525400000002,yes,eui.0025385b71b0d8f9,yes\n"
    shown = [item.changes for entry in plan(text, "machines.csv").changed for item in entry.items]
    assert {"is_pxe": ["True", "False"]} in shown
    enter(text, "machines.csv")
    n1 = Machine.objects.get(name="n1")
    assert n1.pxe_interface.mac == "52:54:00:00:00:02"
    assert n1.disks.get(is_root=True).wwn == "eui.0025385b71b0d8f9"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("Bad Name,,,,,,", "line 3, column name: Use lower-case letters"),
        (",,,,,,", None),
        (",R1,,,,,", "line 3, column name: is missing"),
        ("n2,,zz,,,,", "line 3, column mac_1: 'zz' is no MAC address"),
        ("n2,,52:54:00:00:00:01,,,,", "line 3, column mac_1: 52:54:00:00:00:01 is there twice: also in line 2"),
        ("n2,,52:54:00:00:00:0A,,,,", "line 3, column mac_1: 52:54:00:00:00:0a belongs to old"),
        ("n2,,,10.0.0.1,,,", "line 3, column bmc_host: 10.0.0.1 is there twice: also in line 2"),
        ("n2,,,10.0.0.9,,,", "line 3, column bmc_host: 10.0.0.9 belongs to old"),
        ("n2,,,,S1,,", "line 3, column serial: S1 is there twice: also in line 2"),
        ("n2,,,,OLD,,", "line 3, column serial: OLD belongs to old"),
        (f"n2,,,,,{uuid.UUID(bytes_le=uuid.UUID(UUID).bytes)},", "is there twice: also in line 2"),
        ("n2,,,,,not-a-uuid,", "line 3, column uuid: not-a-uuid is no UUID"),
        ("n2,,,,,,3.5", "line 3, column unit:"),
        ("n1,R2,,,,,", "line 3, column name: n1 is there twice: also in line 2"),
        ("n2,R1", "line 3: has 2 cells, the first line has 7"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(row, expected):
    enter("name,serial,mac_1,bmc_host\nold,OLD,52:54:00:00:00:0a,10.0.0.9\n", "machines.csv")
    text = f"name,rack,mac_1,bmc_host,serial,uuid,unit\nn1,R1,52:54:00:00:00:01,10.0.0.1,S1,{UUID},7\n{row}\n"
    if expected is None:
        assert enter(text, "machines.csv").created == 1
        return
    assert any(expected in problem for problem in problems(text)), problems(text)
    assert Machine.objects.count() == 1, "nothing was written"


def test_all_problems_are_told_at_once():
    said = problems("name,mac_1,cluster,power\nA,zz,none,ipmi\n")
    assert said == ["line 1, column power: there is no such column: see the list in docs/inventory.md"]
    said = problems("name,mac_1,cluster,bmc_driver\nA,zz,none,telnet\nB,yy,,\n")
    assert [problem.partition(":")[0] for problem in said] == [
        "line 2, column bmc_driver", "line 2, column cluster", "line 2, column mac_1", "line 2, column name",
        "line 3, column mac_1", "line 3, column name",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machines:\n- name: a\n  racks: R1\n", "line 3, column racks: there is no such entry here"),
        ("machine: []\n", "line 1, column machine: there is no such entry here"),
        ("machines:\n  name: a\n", "line 2, column machines: must be a list"),
        ("machines:\n- a\n", "line 2, column machines: must be a mapping"),
        ("machines:\n- name: [a]\n", "line 2, column name: must be one value"),
        ("machines:\n- name: a\n  name: b\n", "line 3, column name: is there twice"),
        ("machines:\n- name: a\n  cluster: none\n", "line 3, column cluster: there is no cluster none"),
        ("machines:\n- name: a\n  interfaces:\n  - {mac: zz}\n", "line 4, column mac: 'zz' is no MAC"),
        ("machines:\n- name: a\n  interfaces:\n  - {switch: t}\n", "line 4, column mac: a network card needs"),
        ("machines:\n- name: a\n  disks:\n  - {root: yes}\n", "line 4, column serial: a disk needs"),
        ("machines:\n- name: a\n  disks: [{serial: x, root: yes}, {serial: y, root: yes}]\n", "only one can be chosen"),
        ("vlans:\n- {vid: 5000, name: x}\n", "line 2, column vid:"),
        ("vlans:\n- {vid: 5}\n", "line 2, column name: a new one needs it"),
        ("clusters:\n- {name: x, colour: red}\n", "line 2, column colour: Write it as #14b8a6."),
        ("clusters:\n- {name: x, network: 10.3.0.7/24}\n", "line 2, column network: Write it like 10.2.10.0/24"),
        (
            "clusters:\n- {name: x, network: 10.3.0.0/24,\n   gateway: 10.4.0.1}\n",
            "line 3, column gateway: 10.4.0.1 is no address of the network 10.3.0.0/24.",
        ),
        ("sites:\n- {name: x, provision_vlan: 9}\n", "line 2, column provision_vlan: there is no vlan 9"),
        ("machines:\n- &a {name: a}\n- *a\n", "line 3: write it out"),
        ("machines: [\n", "not YAML"),
        ("a: 1\n---\nb: 1\n", "one document a file"),
        ("[" * 100_000, "line 1: this is nested too deep"),
        ("a\0b", "NUL"),
    ],
)
def test_what_is_wrong_with_a_document(text, expected):
    said = problems(text, "machines.yaml")
    assert any(expected in problem for problem in said), said
    assert not Machine.objects.exists()


@pytest.mark.parametrize("text", ["", "machines:\n", "name,rack\n"])
def test_an_empty_file_is_no_problem(text):
    assert enter(text, "machines.csv" if "," in text else "machines.yaml").created == 0


def test_junk_counts_as_empty_and_is_no_twin():
    text = "name,serial,uuid\na,To Be Filled By O.E.M.,03000200-0400-0500-0006-000700080009\nb,Default string,\n"
    enter(text, "machines.csv")
    assert set(Machine.objects.values_list("serial", "uuid")) == {("", "")}


def test_hands_off_what_something_is_at_work_on():
    installing.make_machine()
    Machine.objects.update(handled_by="install 7")
    assert "in the hands of install 7" in problems("name,serial\nnode1,OTHER\n")[0]
    assert enter("name,owner\nnode1,grace\n", "machines.csv").changed == 1


def test_a_practice_server_is_not_changed_and_not_exported():
    machine = installing.make_machine()
    Machine.objects.update(site=Site.objects.create(name="practice", is_practice=True))
    assert "is a practice server" in problems("name,owner\nnode1,grace\n")[0]
    assert machine.name not in inventory.export_csv() + inventory.export_yaml()


@pytest.mark.parametrize("name", ["node1", "new"])
def test_no_machine_moves_to_the_practice_servers_or_away_from_them(name):
    installing.make_machine()
    site = Site.objects.create(name="practice", is_practice=True)
    assert "is a practice server" in problems(f"name,site\n{name},practice\n")[0]
    Machine.objects.update(site=site)
    assert "is a practice server" in problems("name,site\nnode1,main\n")[0]


def test_taking_a_protection_off_is_for_admins():
    installing.make_machine()
    Machine.objects.update(protected=True)
    assert plan("name,protected\nnode1,no\n", "machines.csv").permissions() == {
        "machines.change_machine",
        "machines.delete_machine",
    }
    assert plan("name,owner\nnode1,ada\n", "machines.csv").permissions() == {"machines.change_machine"}


def test_machines_that_are_not_in_the_file_stay():
    installing.make_machine()
    enter("name\nother\n", "machines.csv")
    assert Machine.objects.count() == 2


def test_the_engines_columns_are_left_alone_by_an_import():
    machine = installing.make_machine()
    made = plan("name,rack\nnode1,R1\n", "machines.csv")
    Machine.objects.filter(pk=machine.pk).update(state="in_use", handled_by="install 1", owner="meanwhile")
    inventory.store(made)
    machine.refresh_from_db()
    assert (machine.rack, machine.state, machine.handled_by, machine.owner) == (
        "R1",
        "in_use",
        "install 1",
        "meanwhile",
    )


def test_only_what_was_seen_is_entered():
    installing.make_machine()
    text = "name,rack\nnode1,R2\n"
    seen = plan(text, "machines.csv").digest
    Machine.objects.update(rack="R7")
    with pytest.raises(Changed):
        inventory.import_text(text, "machines.csv", approved=seen)
    assert Machine.objects.get().rack == "R7"
    inventory.import_text(text, "machines.csv", approved=plan(text, "machines.csv").digest)
    assert Machine.objects.get().rack == "R2"


@pytest.mark.parametrize("meanwhile", ["an edit", "an install"])
def test_what_happens_between_looking_and_writing_stops_it(monkeypatch, meanwhile):
    from machines.inventory import storing

    machine = installing.make_machine()

    def and_then(records):
        made = inventory.make_plan(records)
        if meanwhile == "an edit":
            with acting(lambda: Actor("grace")):
                machine.rack = "R7"
                machine.save()
        else:
            Machine.objects.update(handled_by="install 1")
        return made

    monkeypatch.setattr(storing, "make_plan", and_then)
    with pytest.raises(inventory.InventoryProblem, match="at the same moment"):
        enter("name,rack\nnode1,R2\n", "machines.csv")
    assert Machine.objects.get().rack in ("", "R7")


def test_an_import_is_in_the_history():
    installing.make_machine()
    with acting(lambda: Actor("ada")):
        enter("name,rack,bmc_password,mac_1\nnode1,R2,new-secret,525400000099\n", "machines.csv")
    said = {change.words for change in changes_of(Machine.objects.get())}
    assert said == {"rack nothing → R2", "BMC: password changed", "network card 52:54:00:00:00:99 added"}
    rows = [*Bmc.history.values_list("history_changes"), *Machine.history.values_list("history_changes")]
    assert "new-secret" not in str(rows)


def test_a_cell_that_a_spreadsheet_would_run_is_defused():
    Machine.objects.create(name="n1", site=Site.objects.get(), notes="=1+1", owner="@SUM(A1)")
    text = inventory.export_csv()
    assert "'=1+1" in text
    assert "'@SUM(A1)" in text


@given(st.text(alphabet="'=+-@\ta", max_size=6))
def test_defusing_is_undone_exactly(text):
    assert _plain(_not_a_formula(text)) == text
    assert _not_a_formula(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["a.csv", "a.yaml"]))
def test_any_text_is_read_or_refused_with_words(text, name):
    with suppress(inventory.InventoryProblem):
        inventory.read(text, name)


def test_the_number_of_queries_does_not_grow_with_the_file(django_assert_max_num_queries):
    def text(count: int, rack: str) -> str:
        rows = [f"m{n},{rack},52:54:01:00:{n // 256:02x}:{n % 256:02x},10.1.{n // 250}.{n % 250}" for n in range(count)]
        return "name,rack,mac_1,bmc_host\n" + "\n".join(rows) + "\n"

    with django_assert_max_num_queries(65):
        enter(text(400, "R1"), "machines.csv")
    with django_assert_max_num_queries(65):
        assert enter(text(400, "R1"), "machines.csv").unchanged == 400


def write(tmp_path, text: str, name: str = "machines.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_command_imports_exports_and_only_looks(tmp_path, capsys):
    path = write(tmp_path, "name,rack\nn1,R1\n")
    call_command("machines", "import", path, dry_run=True)
    assert not Machine.objects.exists()
    call_command("machines", "import", path)
    assert Machine.history.get().history_by
    call_command("machines", "export", tmp_path / "out.yaml")
    assert yaml.safe_load((tmp_path / "out.yaml").read_text())["machines"][0] == {
        "name": "n1", "site": "main", "rack": "R1",
    }  # fmt: skip
    assert (tmp_path / "out.yaml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["machines.txt", "missing.csv"])
def test_the_command_says_what_is_wrong_with_a_path(tmp_path, name):
    with pytest.raises(CommandError, match=r"machines.txt: the name must end|missing.csv: No such file"):
        call_command("machines", "import", tmp_path / name)


def test_the_command_writes_nothing_of_a_wrong_file(tmp_path):
    path = write(tmp_path, "name,mac_1\nn1,52:54:00:00:00:01\nn2,52:54:00:00:00:01\n")
    with pytest.raises(CommandError, match="line 3, column mac_1"):
        call_command("machines", "import", path)
    assert not Machine.objects.exists()
    assert not Interface.objects.exists()
    assert not Disk.objects.exists()
