"""The check-up: what it finds, as a command, as a job and as a page."""

import io
import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils.timezone import now

from dodaiweb import checkups, doctor, valkey
from dodaiweb.doctor import checks, dhcp_probe, host, network, service, words
from dodaiweb.doctor.dhcp_probe import Offer
from lab import needs
from machines.models import Beat, Bmc, Checkup, Site
from tests import boot_network, installing, ports, scenes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test but the one in a network of its own asks the host's DHCP servers."""
    monkeypatch.setattr(dhcp_probe, "is_root", lambda: False)


def codes(*found) -> set[str]:
    return {finding.code for check in found for finding in check()}


def test_a_broken_check_is_a_finding_and_stops_no_other():
    def breaks():
        yield doctor.Finding("debug-on")
        raise ValueError("secret")

    found = doctor.run([breaks, service.database])
    assert [finding.code for finding in found] == ["debug-on", "check-broke", "database-right"]
    assert "secret" not in str(found)


def test_every_finding_has_its_words():
    text = "".join(path.read_text() for path in Path("dodaiweb/doctor").glob("*.py") if path.name != "words.py")
    named = set(re.findall(r'"((?:[a-z]+-)+[a-z]+|workers)"', text)) - {
        "clock-off"
    }  # that is a finding of a BMC's test
    assert named - set(words.WORDS) == set()
    assert set(words.WORDS) - named == {"password-none", "password-default", "password-short", "password-shared"}


def test_every_sentence_takes_its_values():
    values = dict.fromkeys(
        "check error kind count waiting paths names free_gib folder site url name interface reason servers boot found "
        "ours network version packages minutes".split(), "x"
    ) | {"problem": "loopback", "values": {"url": "u"}}  # fmt: skip
    for code in words.WORDS:
        (sentence,) = words.sentences([{"code": code, "values": values}])
        assert "%(" not in sentence.what + sentence.why + sentence.todo


def test_the_database_and_its_tables(monkeypatch):
    assert codes(service.database) == {"database-right"}
    monkeypatch.setattr(service.MigrationExecutor, "migration_plan", lambda self, targets: [1, 2])
    assert codes(service.database) == {"migrations-missing"}


def test_a_queue_without_workers_and_no_queue(settings):
    assert codes(service.queue) == {"no-workers"}
    settings.RQ_QUEUES = {"default": {**settings.RQ_QUEUES["default"], "URL": "unix:///nowhere.sock"}}
    assert codes(service.queue) == {"queue-away"}


@pytest.mark.parametrize(
    ("options", "code"), [([], "queue-open"), (["--requirepass", "c0mplicated"], "queue-closed")], ids=["open", "shut"]
)
def test_a_queue_that_everybody_can_reach(settings, tmp_path, options, code):
    port = ports.free()[0]
    command = list(valkey.command(tmp_path / "v.sock"))
    command[command.index("--port") + 1] = str(port)
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as server:
        url = f"redis://{':c0mplicated@' * bool(options)}127.0.0.1:{port}/0"
        try:
            valkey.wait(url, seconds=20)
            settings.RQ_QUEUES = {"default": {**settings.RQ_QUEUES["default"], "URL": url}}
            (found,) = service.queue_is_private()
        finally:
            server.terminate()
    assert found.code == code
    assert "c0mplicated" not in str(found)


def test_the_queue_on_a_socket_is_open_to_nobody_else(settings):
    assert codes(service.queue_is_private) == {"queue-closed"}
    socket = settings.DATA / "run" / "valkey.sock"
    socket.chmod(0o666)
    try:
        assert codes(service.queue_is_private) == {"queue-open"}
    finally:
        socket.chmod(0o600)
    settings.RQ_QUEUES = {"default": {**settings.RQ_QUEUES["default"], "URL": "unix:///nowhere.sock"}}
    assert codes(service.queue_is_private) == set()


def test_a_watchdog_that_stands_still():
    assert codes(service.processes) == {"watchdog-late"}
    Beat.objects.create(name="watchdog", at=now())
    assert codes(service.processes) == {"watchdog-beats"}


def test_machines_whose_power_is_read_no_more():
    Beat.objects.create(name="watchdog", at=now())
    machine = installing.make_machine()
    type(machine).objects.update(power_poll_at=now() - timedelta(minutes=9))
    assert "poll-late" in codes(service.processes)


def test_silent_untested_and_dangerous_bmcs_are_counted():
    machine = installing.make_machine(driver="ipmi")
    type(machine).objects.update(power_error="it does not answer")
    assert codes(service.bmcs) == {"bmcs-silent", "bmcs-untested"}
    Bmc.objects.update(tested_at=now(), test_report={"findings": [{"code": "suite-0-open", "values": {"user": "x"}}]})
    type(machine).objects.update(power_error="")
    assert codes(service.bmcs) == {"bmcs-dangerous"}


def test_weak_passwords_are_counted_and_not_told():
    machine = installing.make_machine(driver="ipmi")
    machine.bmc.set_password("calvin")
    machine.bmc.save()
    (found,) = service.passwords()
    assert (found.code, found.values) == ("password-default", {"count": 1})
    assert "calvin" not in str(words.sentences([{"code": found.code, "values": found.values}]))


def test_how_pages_are_served(settings):
    assert codes(service.serving) == set()
    settings.DEBUG, settings.PAGES_URL = True, "http://10.0.0.2:8000"
    assert codes(service.serving) == {"debug-on", "plain-http"}
    settings.DEBUG, settings.PAGES_URL = False, "https://dodai.example"
    assert codes(service.serving) == set()


def test_keys_that_others_can_read_or_that_do_not_fit(monkeypatch, tmp_path):
    assert codes(host.key_files) == {"keys-right"}
    path = settings.DATA / "keys" / "field_key"
    path.chmod(0o640)
    try:
        assert codes(host.key_files) == {"keys-open"}
    finally:
        path.chmod(0o600)
    monkeypatch.setattr(settings, "DATA", scenes.other_keys(tmp_path))
    assert codes(host.key_files) == {"keys-wrong"}


@pytest.mark.parametrize(("gib", "code"), [(0.5, "disk-full"), (2, "disk-low"), (100, "disk-enough")])
def test_room_on_the_disk(monkeypatch, gib, code):
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: SimpleNamespace(free=int(gib * host.GIB)))
    assert codes(host.disk) == {code}


def test_the_kernel_tells_whether_the_clock_is_kept():
    assert codes(host.clock) <= {"clock-kept", "clock-free", "clock-unknown"}
    installing.make_machine(driver="redfish")
    Bmc.objects.update(test_report={"findings": [{"code": "clock-off", "values": {"minutes": 90}}]})
    assert "clock-differs" in codes(host.clock)


def test_real_machines_need_the_real_ramdisk(monkeypatch):
    monkeypatch.setattr(host.ramdisk, "latest", lambda name, data: installing.RAMDISK if name == "lab" else None)
    assert codes(host.ramdisks) == {"ramdisk-built"}
    installing.make_machine()
    assert codes(host.ramdisks) == {"ramdisk-lab-only"}


def test_a_listener_that_serves_pages_is_an_error(live_server, settings):
    """The pages' own server stands in for a proxy that mixes them."""
    settings.PROVISION_URL, settings.IMAGE_URL = live_server.url, "http://127.0.0.1:1"
    found = {finding.code: finding.values for finding in network.listeners_are_apart()}
    assert "/login/" in found["listeners-mixed"]["paths"]
    assert "listener-silent" in found


def test_bmcs_in_the_machines_network(monkeypatch, settings):
    settings.PROVISION_URL = "http://10.0.0.2:8001"
    monkeypatch.setattr(dhcp_probe, "interfaces", lambda: [dhcp_probe.Interface("eth1", "10.0.0.2", "255.255.255.0")])
    installing.make_machine(driver="ipmi")
    Bmc.objects.update(host="10.0.1.7")
    assert codes(network.bmcs_are_apart) == set()
    Bmc.objects.update(host="10.0.0.7")
    assert codes(network.bmcs_are_apart) == {"bmcs-beside"}


ROUTER, OURS = Offer("10.0.0.1", "10.0.0.50", "", ""), Offer("10.0.0.2", "", "10.0.0.2", "snponly.efi")
SENT = Offer("10.0.0.2", "", "10.0.0.2", "http://127.0.0.1:8001/boot.ipxe")


@pytest.mark.parametrize(
    ("plain", "as_ipxe", "found"),
    [
        ([], [], {"dhcp-nobody"}),
        ([ROUTER], [ROUTER], {"dhcp-server", "dhcp-no-boot"}),
        ([ROUTER, OURS], [ROUTER, SENT], {"dhcp-server", "dhcp-boots-us"}),
        ([OURS], [SENT], {"dhcp-server", "dhcp-no-addresses", "dhcp-boots-us"}),
        ([ROUTER, OURS], [ROUTER, OURS], {"dhcp-server", "dhcp-boots-others"}),
        (
            [ROUTER, Offer("10.0.0.9", "10.0.0.60", "10.0.0.9", "pxelinux.0"), OURS], [SENT],
            {"dhcp-server", "dhcp-several", "dhcp-two-boots", "dhcp-boots-us"},
        ),
    ],
)  # fmt: skip
def test_what_the_answers_of_dhcp_servers_mean(settings, plain, as_ipxe, found):
    settings.PROVISION_URL = "http://127.0.0.1:8001"
    assert {finding.code for finding in network.judge("eth1", plain, as_ipxe, needed=True)} == found


@pytest.mark.parametrize(
    "packet", [b"", b"\x02" * 240, b"\x02" + bytes(235) + dhcp_probe.COOKIE + b"\x43\xff", os.urandom(600)]
)
def test_packets_that_are_no_answer(packet):
    assert dhcp_probe.parse(packet, b"\x02\x02\x02\x02", "10.0.0.1") is None


ASK = """
import json
from dataclasses import asdict
from dodaiweb.doctor import dhcp_probe
(card,) = dhcp_probe.interfaces()
print(json.dumps([[asdict(offer) for offer in offers] for offers in dhcp_probe.both(card)]))
"""


@pytest.mark.skipif(os.geteuid() != 0 or needs.program("dnsmasq") is None, reason="needs root and dnsmasq")
@pytest.mark.parametrize("same_computer", [False, True])
@pytest.mark.parametrize("server", ["dnsmasq", "dnsmasq-proxy"])
def test_a_real_dhcp_server_is_heard_and_told_what_ipxe_gets(tmp_path, settings, server, same_computer):
    settings.PROVISION_URL = boot_network.URL
    lines = io.StringIO()
    call_command("dhcp-config", server, network=boot_network.NETWORK, stdout=lines)
    with boot_network.network(tmp_path / "net") as net:
        other = net.add_other_server()
        call_command("tftp-files", str(tmp_path / "tftp"), stdout=io.StringIO())
        net.serve_dhcp(lines.getvalue().replace("/srv/tftp", str(tmp_path / "tftp")), log="ours")
        boot_network.wait_for(lambda: "DHCP" in net.log("ours"), "dnsmasq")
        command = (net if same_computer else other).inside(sys.executable, "-c", ASK)
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    plain, as_ipxe = ([Offer(**offer) for offer in offers] for offers in json.loads(done.stdout))
    assert {(offer.server, bool(offer.address)) for offer in plain} == {(boot_network.SERVER, server == "dnsmasq")}
    found = {finding.code for finding in network.judge("eth0", plain, as_ipxe, needed=True)}
    assert found == {"dhcp-server", "dhcp-boots-us"} | ({"dhcp-no-addresses"} if server != "dnsmasq" else set())


def run_command(**options) -> tuple[str, int]:
    out, code = io.StringIO(), 0
    try:
        call_command("doctor", stdout=out, **options)
    except SystemExit as ended:
        code = int(ended.code)
    return out.getvalue(), code


def test_the_command_tells_what_why_and_what_to_do_and_ends_with_1():
    text, code = run_command()
    assert code == 1
    assert "No worker runs." in text
    assert "Start `manage.py up`" in text


def test_the_command_for_programs(monkeypatch):
    monkeypatch.setattr("dodaiweb.management.commands.doctor.CHECKS", (service.database,))
    text, code = run_command(json=True)
    assert code == 0
    assert json.loads(text)[0]["level"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_what_was_asked_and_the_page_shows_it(admin_client, monkeypatch, queue):
    client = admin_client
    monkeypatch.setattr(checkups, "CHECKS", (service.queue, service.database))
    assert "Nobody has asked yet" in client.get("/doctor/").content.decode()
    client.post("/doctor/check-up/")
    assert "under way" in client.get("/doctor/").content.decode()
    checkups.run_due()
    page = client.get("/doctor/").content.decode()
    assert "No worker runs." in page
    assert "is up to date" in page


@pytest.mark.django_db(transaction=True)
def test_one_check_up_at_a_time_and_no_two_workers(monkeypatch):
    from django.db import transaction

    ran = []
    monkeypatch.setattr(checkups, "CHECKS", (lambda: iter(ran.append(1) or ()),))
    checkups.request(by="tester")
    with pytest.raises(checkups.Refused), transaction.atomic():
        checkups.request(by="tester")
    Checkup.objects.update(lease_until=now() + timedelta(seconds=30))
    checkups.run_due()
    assert ran == [], "another worker has it"
    Checkup.objects.update(lease_until=now() - timedelta(seconds=1))
    checkups.run_due()
    checkups.run_due()
    assert (ran, Checkup.objects.get().ended_at is not None) == ([1], True)


@pytest.mark.django_db(transaction=True)
def test_a_check_up_that_takes_longer_than_its_lease_is_not_started_twice(monkeypatch):
    monkeypatch.setattr(checkups, "LEASE", timedelta(seconds=0.6))
    ran = []

    def slow():
        ran.append(1)
        if len(ran) == 1:
            first_end = Checkup.objects.get().lease_until
            boot_network.wait_for(lambda: Checkup.objects.get().lease_until > first_end, "a renewal")
            renewed = Checkup.objects.get().lease_until
            with monkeypatch.context() as later:  # whatever this computer's clock says by now
                later.setattr(checkups, "now", lambda: first_end + (renewed - first_end) / 2)
                checkups.run_due()  # what the watchdog rings another worker for
        yield doctor.Finding("database-right")

    monkeypatch.setattr(checkups, "CHECKS", (slow,))
    checkups.request(by="tester")
    checkups.run_due()
    assert ran == [1]
    assert [finding["code"] for finding in Checkup.objects.exclude(ended_at=None).get().findings] == ["database-right"]


@pytest.mark.django_db(transaction=True)
def test_what_old_check_ups_found_goes_and_who_asked_stays(monkeypatch):
    monkeypatch.setattr(checkups, "CHECKS", (service.database,))
    for _ in range(checkups.KEPT + 3):
        checkups.request(by="tester")
        checkups.run_due()
    assert Checkup.objects.exclude(findings=[]).count() == checkups.KEPT
    assert Checkup.objects.filter(asked_by="tester").count() == checkups.KEPT + 3


def test_viewers_read_and_do_not_ask(client):
    client.force_login(scenes.make_user("viewer"))
    assert client.get("/doctor/").status_code == 200
    assert client.post("/doctor/check-up/").status_code == 403


def test_urls_that_lead_nowhere_are_an_error_of_their_site():
    installing.make_machine()
    Site.objects.update(provision_url="http://127.0.0.1:8001")
    found = [{"code": finding.code, "values": finding.values} for finding in network.urls_lead_here()]
    assert words.has_errors(found)
    assert "start it with --provision-host" in words.sentences(found)[0].what


def test_all_checks_run_here():
    found = doctor.run(checks.CHECKS)
    assert "check-broke" not in {finding.code for finding in found}
