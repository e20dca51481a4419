"""Connect real servers: steps ticked by rows, DHCP lines as the command prints them, unknown machines taken in."""

import io
import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils.timezone import now

from installs import connecting, dhcp
from machines import actions as machine_actions
from machines.models import Bmc, Interface, Machine, Sighting, Site
from tests import installing, scenes
from tests.test_pages_content import text_of
from tests.test_pages_fleet import done, practice_machine


@pytest.fixture
def operator(client, db, settings):
    settings.PROVISION_URL, settings.IMAGE_URL = "http://10.0.0.2:8001", "http://10.0.0.2:8002"
    client.force_login(scenes.make_user("operator"))
    return client


def seen(mac: str = "3c:ec:ef:00:00:01", **fields) -> Sighting:
    machine_actions.record_sighting(mac, **{"address": "10.0.0.77", "platform": "efi", "serial": "SN77"} | fields)
    return Sighting.objects.get(mac=mac)


def ticked(client) -> list[str]:
    html = client.get("/connect/").content.decode()
    return re.findall(r'id="step\d" data-s="(\w+)"', html)


def test_a_start_for_this_computer_only_has_nothing_ticked(operator, settings):
    settings.PROVISION_URL = settings.IMAGE_URL = "http://127.0.0.1:8001"
    assert ticked(operator) == ["now", "todo", "todo", "todo", "todo"]
    said = text_of(operator.get("/connect/"))
    assert "start it with --provision-host" in said
    assert "Enter the network, and the lines for your DHCP server stand here." in said


def test_each_step_is_ticked_by_what_happened(operator):
    assert ticked(operator) == ["done", "now", "todo", "todo", "todo"]
    seen("3c:ec:ef:00:00:09", address="127.0.0.1")
    assert ticked(operator)[1] == "now", "that came from this computer itself"
    sighting = seen()
    assert ticked(operator) == ["done", "done", "now", "todo", "todo"]
    operator.post(f"/connect/{sighting.pk}/add/", {"name": "node1"})
    assert ticked(operator) == ["done", "now", "done", "todo", "todo"], "nothing is known to have come from outside"
    machine = Machine.objects.get()
    Bmc.objects.create(machine=machine, driver="ipmi", host="10.0.9.1", tested_at=now(), test_report={})
    assert ticked(operator) == ["done", "now", "done", "done", "todo"]
    done(machine, installing.make_image(), 60)
    assert ticked(operator) == ["done"] * 5
    assert "All five steps are done." in text_of(operator.get("/connect/"))


def test_practice_servers_tick_nothing(operator):
    machine = practice_machine(1)
    done(machine, installing.make_image("tiny"), 48)
    assert ticked(operator) == ["done", "now", "todo", "todo", "todo"]
    assert "An install takes about 48 s here." in text_of(operator.get("/connect/"))


def test_what_dodai_never_does_is_pinned(operator):
    said = text_of(operator.get("/connect/"))
    assert "No disk is written until you approve a plan that names its serial number." in said
    assert "Unknown machines are always sent to their own disk." in said


@pytest.mark.parametrize("server", dhcp.SERVERS)
def test_the_dhcp_lines_are_those_of_the_command(operator, server):
    html = operator.get("/connect/?network=10.7.0.0/16").content.decode()
    out = io.StringIO()
    call_command("dhcp-config", server, "--network", "10.7.0.0/16", stdout=out)
    shown = html.split(f'id="panel-{server}"')[1].split("<pre")[1].split(">", 1)[1].split("</pre>")[0]
    import html as entities

    assert entities.unescape(shown) == out.getvalue().rstrip()
    assert f"python3 manage.py dhcp-config {server} --network 10.7.0.0/16</code>" in html


def test_the_network_is_guessed_from_the_address(operator):
    assert 'value="10.0.0.0/24"' in operator.get("/connect/").content.decode()
    assert dhcp.likely_network("http://dodai.example:8001") == ""
    assert dhcp.likely_network("http://127.0.0.1:8001") == ""


@pytest.mark.parametrize("network", ["10.0.0.0/33", "10.0.0.1/24", "nonsense", "10.0.0.0/30", "<b>"])
def test_a_wrong_network_is_said_to_be_one(operator, network):
    response = operator.get("/connect/", {"network": network})
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert "<b>0" not in response.content.decode()


def test_an_unknown_machine_is_taken_in_with_what_it_said(operator):
    sighting = seen()
    assert "3c:ec:ef:00:00:01" in text_of(operator.get("/connect/"))
    response = operator.post(f"/connect/{sighting.pk}/add/", {"name": "node7"}, follow=True)
    assert "node7 is in the inventory." in text_of(response)
    machine = Machine.objects.get()
    assert (machine.name, machine.serial, machine.state) == ("node7", "SN77", "new")
    assert machine.pxe_interface.mac == "3c:ec:ef:00:00:01"
    assert not Sighting.objects.exists()


@pytest.mark.parametrize("name", ["", "Node 7", "node1", "-x", "x" * 64])
def test_one_that_cannot_be_entered_stays_a_sighting(operator, name):
    installing.make_machine("node1")
    sighting = seen()
    response = operator.post(f"/connect/{sighting.pk}/add/", {"name": name}, follow=True)
    assert 'class="flash error"' in response.content.decode()
    assert Sighting.objects.exists()
    assert Machine.objects.count() == 1


def test_a_card_that_was_entered_meanwhile_is_told(operator):
    sighting = seen()
    Interface.objects.create(machine=installing.make_machine("node1"), mac=sighting.mac)
    operator.post(f"/connect/{sighting.pk}/add/", {"name": "node2"})
    assert not Machine.objects.filter(name="node2").exists(), "nothing half-entered is left"
    said = text_of(operator.post("/connect/9999/add/", {"name": "x"}, follow=True))
    assert "This sighting is gone: somebody else entered or forgot it." in said


def test_a_viewer_looks_and_adds_nothing(client, db):
    client.force_login(scenes.make_user("viewer"))
    sighting = seen()
    html = client.get("/connect/").content.decode()
    assert "3c:ec:ef:00:00:01" in html
    assert "Add as machine" not in html
    assert client.post(f"/connect/{sighting.pk}/add/", {"name": "x"}).status_code == 403


def test_removed_practice_servers_can_be_brought_back_where_the_lab_runs(operator, settings, tmp_path):
    settings.DATA = tmp_path
    practice_machine(1)
    operator.post("/practice/remove/")
    assert "Bring them back" not in text_of(operator.get("/connect/"))
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "control.sock").touch()
    assert "They were removed. Bring them back" in text_of(operator.get("/connect/"))
    operator.post("/practice/return/")
    assert Site.objects.get(name="practice").closed_at is None


def test_the_queries_do_not_grow(operator, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert operator.get("/connect/").status_code == 200
        return len(asked)

    seen()
    installing.make_machine()
    few = queries()
    for number in range(2, 9):
        seen(f"3c:ec:ef:00:00:{number:02x}")
        installing.make_machine(f"node{number}", number=number)
    assert queries() == few


def test_the_last_boot_request_is_of_whoever_came_last(operator):
    seen()
    Sighting.objects.update(last_seen_at=now() - timedelta(hours=1))
    seen("3c:ec:ef:00:00:02", address="10.0.0.78")
    found = connecting.progress()
    assert list(found.heard_from) == ["10.0.0.78", "10.0.0.77"]
    assert found.heard_at > now() - timedelta(minutes=1)
