"""Test BMC: what it says of real IPMI and Redfish BMCs, what it stores, and what it leaves alone."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from pyghmi.exceptions import IpmiException

from machines import actions, bmc_probe, bmc_test, bmc_words, jobs
from machines.bmc_probe.passwords import weaknesses
from machines.bmc_probe.rmcp import SUITES, Stranger
from machines.models import Bmc, Machine, PowerCommand
from machines.power import driver_for, fake
from machines.power.base import BmcEndpoint, Power, PowerRefused
from machines.power.ipmi import _errors
from tests import installing
from tests.machines.bmcs import running_bmc
from tests.machines.redfish_bmcs import PASSWORD, make_certificate, running_emulator, running_paper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def ipmi_bmc():
    with running_bmc() as pair:
        yield pair


@pytest.fixture
def machine(db):
    return installing.make_machine(driver="ipmi", uuid="", serial="")


def give(machine: Machine, endpoint: BmcEndpoint, **changes: str) -> Bmc:
    bmc = machine.bmc
    bmc.driver, bmc.host, bmc.port, bmc.username = endpoint.driver, endpoint.host, endpoint.port, endpoint.username
    bmc.set_password(changes.pop("password", endpoint.password))
    for name, value in changes.items():
        setattr(bmc, name, value)
    bmc.save()
    return bmc


def run_test(machine: Machine, **options: bool) -> tuple[PowerCommand, set[str]]:
    command = bmc_test.request_test(machine, by="tester", **options)
    jobs.run_power_commands()
    command.refresh_from_db()
    return command, codes(machine)


def codes(machine: Machine) -> set[str]:
    return {item["code"] for item in Bmc.objects.get(machine=machine).test_report.get("findings", ())}


def test_what_works_at_an_ipmi_bmc_is_said_and_used(machine, ipmi_bmc):
    give(machine, ipmi_bmc[1])
    command, found = run_test(machine)
    bmc = Bmc.objects.get(machine=machine)
    assert {"reached", "suite-3", "login", "more-rights", "power-read", "boot-read", "password-short"} <= found
    assert not found & {"suite-17", "suite-0", "suite-0-open", "suite-weak", "identity-other"}
    assert (bmc.cipher_suite, bmc.privilege, bmc.is_tested) == (3, "operator", True)
    assert (command.state, command.message) == ("done", "BMC tested: 1 weak")
    assert driver_for(bmc.endpoint()).state() == Power.OFF


def test_a_changed_address_forgets_what_was_found(machine, ipmi_bmc):
    bmc = give(machine, ipmi_bmc[1])
    run_test(machine)
    bmc.refresh_from_db()
    assert bmc.endpoint().privilege == "operator"
    bmc.username = "other"
    assert (bmc.is_tested, bmc.endpoint().privilege, bmc.endpoint().cipher_suite) == (False, "", None)


def test_a_wrong_password_is_said_and_stores_nothing_usable(machine, ipmi_bmc):
    give(machine, ipmi_bmc[1], password="wrong-wrong-wrong")
    _, found = run_test(machine)
    bmc = Bmc.objects.get(machine=machine)
    assert "login-refused" in found
    assert (bmc.cipher_suite, bmc.test_report["usable"]) == (None, False)
    assert "wrong-wrong" not in str(bmc.test_report)


def test_a_wrong_password_is_tried_once(machine, ipmi_bmc, monkeypatch):
    """Some BMCs lock a user out after a few."""
    tried = []
    describe = bmc_probe.ipmi.IpmiPower.describe
    monkeypatch.setattr(
        bmc_probe.ipmi.IpmiPower, "describe", lambda self: tried.append(self.endpoint.privilege) or describe(self)
    )
    give(machine, ipmi_bmc[1], password="wrong-wrong-wrong")
    run_test(machine)
    assert tried == ["operator"]


@pytest.mark.parametrize(("least", "found"), [("administrator", "login"), ("nothing", "too-few-rights")])
def test_a_user_with_other_rights(machine, ipmi_bmc, monkeypatch, least, found):
    describe = bmc_probe.ipmi.IpmiPower.describe

    def as_the_bmc_would(self):
        if self.endpoint.privilege != least:
            with _errors(self.endpoint):
                raise IpmiException("Unauthorized role or privilege level requested")
        return describe(self)

    monkeypatch.setattr(bmc_probe.ipmi.IpmiPower, "describe", as_the_bmc_would)
    give(machine, ipmi_bmc[1])
    assert found in run_test(machine)[1]
    assert Bmc.objects.get(machine=machine).privilege == ("administrator" if found == "login" else "")


def test_nobody_at_the_address(machine):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        give(machine, BmcEndpoint("", "ipmi", "127.0.0.1", silent.getsockname()[1], username="a", password=PASSWORD))
        assert run_test(machine)[1] == {"silent"}


@pytest.mark.parametrize("driver", ["ipmi", "redfish"])
def test_an_address_that_cannot_be_one(machine, driver):
    give(machine, BmcEndpoint("", driver, "10.0.0..5", 623, username="a", password=PASSWORD))
    assert run_test(machine)[1] - {"password-short"} == {"unreachable"}


def test_another_machines_bmc_is_shouted(machine, ipmi_bmc):
    """The paper BMC says ...0001; the inventory knows that as node2's."""
    installing.make_machine("node2", number=2, uuid="00000000-0000-0000-0000-000000000001")
    give(machine, ipmi_bmc[1])
    _, found = run_test(machine)
    sentence = bmc_words.sentences(Bmc.objects.get(machine=machine).test_report)[0]
    assert "identity-other" in found
    assert (sentence.level, "THIS IS THE BMC OF node2" in sentence.what) == ("danger", True)


def test_a_bmc_at_the_same_address_is_named(machine, ipmi_bmc):
    other = installing.make_machine("node2", number=2)
    give(machine, ipmi_bmc[1])
    Bmc.objects.filter(machine=other).update(driver="redfish", host="127.0.0.1", port=443)
    assert "address-shared" in run_test(machine)[1]


class OpenBmc:
    """Answers sessions like a BMC of 2010: cipher suite 0 for everybody."""

    def __init__(self, *, suites: set[int], lets_in: bool = True) -> None:
        self.suites, self.lets_in = {SUITES[number] for number in suites}, lets_in
        self.closed = 0

    def answer(self, data: bytes) -> bytes | None:
        if data[4] == 0:  # get channel authentication capabilities
            body = bytes((0x81, 0x1C, 0x63, 0x20, 4, 0x38, 0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0, 0))
            return data[:13] + bytes((len(body),)) + body
        kind, payload = data[5] & 0x3F, data[16:]
        match kind:
            case 0x10:
                asked = (payload[12], payload[20], payload[28])
                if asked not in self.suites:
                    return self._packet(0x11, bytes((payload[0], 0x11, 0, 0)) + payload[4:8])
                blocks = payload[8:32]
                return self._packet(0x11, bytes((payload[0], 0, 4, 0)) + payload[4:8] + b"BMC1" + blocks)
            case 0x12:
                status = 0 if self.lets_in else 0x0D
                return self._packet(0x13, bytes((payload[0], status, 0, 0)) + b"DODA" + bytes(32))
            case 0x14:
                return self._packet(0x15, bytes((payload[0], 0, 0, 0)) + b"DODA")
            case 0x00:
                self.closed += data[16 + 5] == 0x3C
        return None

    def _packet(self, kind: int, payload: bytes) -> bytes:
        return b"\x06\x00\xff\x07\x06" + bytes((kind,)) + bytes(8) + len(payload).to_bytes(2, "little") + payload


@contextmanager
def old_bmc(**kind) -> Iterator[tuple[OpenBmc, BmcEndpoint]]:
    bmc = OpenBmc(**kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    data, address = server.recvfrom(2048)
                except OSError:
                    return
                if data == b"end":
                    return
                if answer := bmc.answer(data):
                    server.sendto(answer, address)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield (
            bmc,
            BmcEndpoint("node1", "ipmi", "127.0.0.1", server.getsockname()[1], username="root", password="x" * 16),
        )
        server.sendto(b"end", server.getsockname())
        thread.join(5)


def test_an_open_cipher_suite_0_is_shouted_and_its_session_closed(machine):
    with old_bmc(suites={0, 1, 2}) as (bmc, endpoint):
        give(machine, endpoint)
        command, found = run_test(machine)
        assert bmc.closed == 1
    assert {"suite-0-open", "suite-weak", "no-suite"} <= found
    assert "dangerous" in command.message
    assert (
        "ANYBODY CAN SWITCH THIS MACHINE" in bmc_words.sentences(Bmc.objects.get(machine=machine).test_report)[0].what
    )


def test_an_offered_cipher_suite_0_that_refuses_the_user_is_weak():
    with old_bmc(suites={0}, lets_in=False) as (_, endpoint), Stranger(endpoint) as stranger:
        assert stranger.propose(0)
        assert not stranger.enter_without_password("root")


def test_a_redfish_bmc_is_tested_and_its_certificate_kept(machine, tmp_path):
    with running_emulator(tmp_path) as endpoint:
        give(machine, endpoint)
        _, found = run_test(machine)
        bmc = Bmc.objects.get(machine=machine)
        assert {"reached", "certificate-accepted", "login-redfish", "power-read"} <= found
        assert bmc.tls_fingerprint == endpoint.tls_fingerprint
        assert driver_for(bmc.endpoint()).state() == Power.OFF
        assert "certificate-same" in run_test(machine)[1]


def test_a_changed_certificate_is_refused_until_it_is_accepted(machine, tmp_path):
    with running_paper(tmp_path) as (paper, endpoint):
        give(machine, endpoint, tls_fingerprint=make_certificate(tmp_path, "old").fingerprint)
        _, found = run_test(machine)
        assert "certificate-changed" in found
        assert paper.asked == [], "nothing was sent"
        with pytest.raises(PowerRefused, match="another certificate"):
            driver_for(Bmc.objects.get(machine=machine).endpoint()).state()
        assert "certificate-accepted" in run_test(machine, accept_certificate=True)[1]
        assert driver_for(Bmc.objects.get(machine=machine).endpoint()).state() == Power.OFF


def test_a_serial_number_tells_machines_apart_over_redfish(machine, tmp_path):
    Machine.objects.filter(pk=machine.pk).update(serial="SN1")
    with running_paper(tmp_path) as (_, endpoint):
        give(machine, endpoint)
        assert "identity-same" in run_test(machine)[1]
        Machine.objects.filter(pk=machine.pk).update(serial="SN7")
        assert "identity-differs" in run_test(machine)[1]


@pytest.mark.parametrize(
    ("username", "password", "used_by", "found"),
    [
        ("admin", "", 1, ["password-none"]),
        ("root", "Calvin", 1, ["password-default"]),
        ("dodai", "dodai", 1, ["password-default"]),
        ("dodai", "short-one", 2, ["password-short", "password-shared"]),
        ("dodai", "long-enough-by-far", 1, []),
    ],
)
def test_weak_passwords(username, password, used_by, found):
    assert weaknesses(username, password, used_by=used_by) == found


def test_passwords_that_several_bmcs_share_are_counted(machine):
    for number in (2, 3):
        other = installing.make_machine(f"node{number}", number=number)
        give(other, BmcEndpoint("", "ipmi", f"10.0.0.{number}", username="a", password="the-same-long-password"))
    assert bmc_test.count_weak_passwords() == {"password-shared": 2, "password-none": 1}


def test_it_keeps_out_of_an_install_and_of_other_commands(machine):
    Machine.objects.update(handled_by="install 7")
    with pytest.raises(actions.Refused, match="install 7"):
        bmc_test.request_test(machine, by="tester")
    Machine.objects.update(handled_by="")
    actions.request_power(machine, "on", by="tester")
    with pytest.raises(actions.Refused, match="under way"):
        bmc_test.request_test(machine, by="tester")


def test_a_machine_taken_meanwhile_gets_no_log_in(machine, ipmi_bmc, monkeypatch):
    give(machine, ipmi_bmc[1])
    command = bmc_test.request_test(machine, by="tester")
    greet = Stranger.greet

    def an_install_comes(self):
        actions.drop_power_commands(machine, why="install 7 took over")
        return greet(self)

    monkeypatch.setattr(Stranger, "greet", an_install_comes)
    monkeypatch.setattr("machines.bmc_probe.ipmi.IpmiPower", None)
    jobs.run_power_commands()
    command.refresh_from_db()
    assert (command.state, command.message, codes(machine)) == ("failed", "install 7 took over", set())


def test_machines_without_a_bmc_are_refused(machine):
    Bmc.objects.update(driver="manual")
    with pytest.raises(actions.Refused, match="no BMC that can be tested"):
        bmc_test.request_test(machine, by="tester")


def test_a_protected_machine_may_be_tested(machine, ipmi_bmc):
    Machine.objects.update(protected=True)
    give(machine, ipmi_bmc[1])
    assert run_test(machine)[0].state == "done"


def test_the_command_waits_and_tells(machine, ipmi_bmc, monkeypatch, capsys):
    give(machine, ipmi_bmc[1])
    monkeypatch.setattr("machines.management.commands.bmc.time.sleep", lambda seconds: jobs.run_power_commands())
    call_command("bmc", "test", "node1")
    assert "The user admin logs in, with the privilege operator." in capsys.readouterr().out
    give(machine, ipmi_bmc[1], password="wrong-wrong-wrong")
    with pytest.raises(CommandError, match="cannot be switched by its BMC yet"):
        call_command("bmc", "test", "node1")


def test_every_finding_has_its_sentence():
    """Codes are written where they are found; each must be in the table, with values that fit."""
    import re
    from pathlib import Path

    sources = [*Path("machines/bmc_probe").glob("*.py"), Path("machines/bmc_test.py")]
    text = "".join(path.read_text() for path in sources)
    used = set(re.findall(r'(?:add|Finding)\(\s*"([a-z0-9-]+)"', text))
    assert used - set(bmc_words.WORDS) == set()
    assert len(used) > 15


def test_the_page_offers_the_test_and_shows_what_it_found(machine, ipmi_bmc, admin_client):
    give(machine, ipmi_bmc[1])
    fake.forget()
    assert admin_client.post("/machines/node1/bmc-test/").status_code == 302
    jobs.run_power_commands()
    page = admin_client.get("/machines/node1/").content.decode()
    assert "Test BMC" in page
    assert "Cipher suite 3 (SHA-1, AES) works and is used" in page


def test_only_who_may_edit_bmcs_accepts_a_certificate(machine, ipmi_bmc, client, django_user_model):
    from django.contrib.auth.models import Permission

    give(machine, ipmi_bmc[1])
    operator = django_user_model.objects.create_user("olga", password="x")
    operator.user_permissions.add(*Permission.objects.filter(codename__in=["view_machine", "operate_machine"]))
    client.force_login(operator)
    assert client.post("/machines/node1/bmc-test/", {"certificate": "accept"}).status_code == 403
    assert client.post("/machines/node1/bmc-test/").status_code == 302
