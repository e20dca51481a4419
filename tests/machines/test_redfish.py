"""The Redfish driver against sushy-emulator, and against BMCs that are slow, odd or hostile."""

import time
from dataclasses import replace

import pytest

from machines.power import driver_for
from machines.power.base import BootDevice, Power, PowerError, PowerRefused
from machines.power.child import DEADLINE_SECONDS
from machines.power.redfish_client import LARGEST_ANSWER, is_path
from tests.machines.redfish_bmcs import PASSWORD, make_certificate, running_emulator, running_paper


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as endpoint:
        yield endpoint


@pytest.fixture
def paper_and_endpoint(tmp_path):
    with running_paper(tmp_path) as pair:
        yield pair


@pytest.fixture
def paper(paper_and_endpoint):
    return paper_and_endpoint[0]


@pytest.fixture
def endpoint(paper_and_endpoint):
    return paper_and_endpoint[1]


@pytest.fixture
def power(endpoint):
    return driver_for(endpoint)


def test_the_emulator_is_switched_and_read(emulator):
    power = driver_for(emulator)
    power.off()
    assert power.state() == Power.OFF
    with pytest.raises(PowerRefused, match="power state"):
        power.reset()
    for _ in range(2):
        power.on()
    assert power.state() == Power.ON
    power.reset()
    power.soft_off()
    assert power.state() == Power.OFF


@pytest.mark.parametrize("device", BootDevice)
def test_the_emulator_takes_a_boot_device(emulator, device):
    power = driver_for(emulator)
    power.boot_from(device)
    assert power.boot_device() == device


def test_the_emulator_refuses_a_wrong_password(emulator):
    with pytest.raises(
        PowerRefused, match=r"node1: the BMC at 127\.0\.0\.1:\d+ refused the user or password"
    ) as caught:
        driver_for(replace(emulator, password="wrong-wrong")).state()
    assert "wrong-wrong" not in str(caught.value)


def test_which_of_several_systems_is_told_by_its_id(tmp_path):
    with running_emulator(tmp_path, systems=2) as endpoint:
        with pytest.raises(PowerRefused, match="has 2 systems") as caught:
            driver_for(endpoint).state()
        one = str(caught.value).partition("(")[2].split(",")[0]
        assert driver_for(replace(endpoint, system_id=one)).state() == Power.OFF
        with pytest.raises(PowerRefused, match="has no system '9'"):
            driver_for(replace(endpoint, system_id="9")).state()


def test_a_session_is_opened_and_ended_at_the_bmc(paper, power):
    power.on()
    assert (power.state(), paper.most_sessions, paper.open_sessions) == (Power.ON, 1, [])


def test_a_session_is_ended_also_after_an_error(paper, power):
    paper.bend = lambda handler: handler.path.endswith("/Reset") and (handler.reply(500), True)[1]
    with pytest.raises(PowerError, match="busy"):
        power.on()
    assert (paper.most_sessions, paper.open_sessions) == (1, [])


def test_without_sessions_the_password_goes_along(paper, power):
    paper.has_sessions = False
    assert power.state() == Power.OFF


def test_what_is_on_already_is_not_switched_on(paper, power):
    for _ in range(2):
        power.on()
    power.off()
    power.off()
    assert paper.resets == ["On", "ForceOff"]


def test_the_way_is_one_that_the_bmc_lists(paper, power):
    """It has no GracefulShutdown, only the button."""
    power.on()
    power.soft_off()
    assert paper.resets == ["On", "PushPowerButton"]


def test_a_button_is_not_pressed_while_nobody_knows_the_power(paper, power):
    paper.system["PowerState"] = None
    with pytest.raises(PowerRefused, match="takes none of"):
        power.soft_off()
    assert paper.resets == []


@pytest.mark.parametrize("state", ["PoweringOff", "PoweringOn", "Paused"])
def test_a_machine_on_its_way_counts_as_on(paper, power, state):
    paper.system["PowerState"] = state
    assert power.state() == Power.ON


@pytest.mark.parametrize("persistent", [True, False])
def test_the_boot_device_is_set_once_or_for_ever(paper, power, persistent):
    power.boot_from(BootDevice.NETWORK, persistent=persistent)
    assert paper.patches == [
        {"BootSourceOverrideEnabled": "Continuous" if persistent else "Once", "BootSourceOverrideTarget": "Pxe"}
    ]
    assert power.boot_device() == BootDevice.NETWORK
    power.boot_from(BootDevice.DEFAULT)
    assert power.boot_device() == BootDevice.DEFAULT


@pytest.mark.parametrize(("uefi", "mode"), [(None, None), (True, None), (False, "Legacy")])
def test_the_mode_is_sent_only_where_it_is_known_and_differs(paper, endpoint, uefi, mode):
    driver_for(replace(endpoint, uefi=uefi)).boot_from(BootDevice.NETWORK)
    assert paper.patches[0].get("BootSourceOverrideMode") == mode


@pytest.mark.parametrize("etag", ['W/"1"', '"1"', "*"])
def test_any_entity_tag_that_bmcs_want_is_found(paper, power, etag):
    paper.wants_etag = etag
    power.boot_from(BootDevice.DISK)
    assert power.boot_device() == BootDevice.DISK


def test_a_device_that_the_bmc_does_not_have_is_refused(paper, power):
    paper.system["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"] = ["Cd"]
    with pytest.raises(PowerRefused, match=r"node7.*cannot boot Pxe, only Cd"):
        power.boot_from(BootDevice.NETWORK)


def test_a_bmc_that_keeps_no_disk_for_ever_is_left_to_the_firmware(paper, power):
    paper.system["Boot"]["BootSourceOverrideEnabled@Redfish.AllowableValues"] = ["Disabled", "Once"]
    power.boot_from(BootDevice.DISK, persistent=True)
    assert power.boot_device() == BootDevice.DEFAULT
    with pytest.raises(PowerRefused, match="cannot boot Continuous"):
        power.boot_from(BootDevice.NETWORK, persistent=True)


def test_another_certificate_than_the_pinned_one_gets_no_password(paper, endpoint, tmp_path):
    other = make_certificate(tmp_path, "other").fingerprint
    with pytest.raises(PowerRefused, match="another certificate"):
        driver_for(replace(endpoint, tls_fingerprint=other)).state()
    assert paper.asked == []


def test_an_unknown_certificate_gets_no_password(paper, endpoint):
    with pytest.raises(PowerRefused, match="nobody vouches for: run Test BMC"):
        driver_for(replace(endpoint, tls_fingerprint="")).state()
    assert paper.asked == []


def test_a_certificate_that_the_authority_vouches_for_needs_no_pin(endpoint, tmp_path):
    trusting = replace(endpoint, tls_fingerprint="", ca_file=str(tmp_path / "bmc.pem"))
    assert driver_for(trusting).state() == Power.OFF


def slowly(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(500):
        handler.wfile.write(b" ")
        time.sleep(0.2)
    return True


def hugely(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b" " * (LARGEST_ANSWER // 8))
    return True


def text(body: bytes):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    return answer


def status(code: int, **headers: str):
    return lambda handler: (handler.reply(code, {"error": {"message": f"no {PASSWORD}"}}, **headers), True)[1]


HOSTILE = {
    "slow": (slowly, PowerError, "too slow|did not answer"),
    "huge": (hugely, PowerRefused, "more than 1 MiB"),
    "no json": (text(b"<html>hello</html>"), PowerRefused, "no Redfish"),
    "a list": (text(b"[1]"), PowerRefused, "no Redfish"),
    "deep": (text(b"[" * 100_000), PowerRefused, "no Redfish"),
    "empty": (text(b"{}"), PowerRefused, "has no systems"),
    "elsewhere": (text(b'{"Systems": {"@odata.id": "//evil.example/redfish/"}}'), PowerRefused, "has no systems"),
    "wrong types": (text(b'{"Systems": 7, "Links": []}'), PowerRefused, "has no systems"),
    "redirect": (status(302, Location="http://127.0.0.1:1/"), PowerRefused, "redirects are not followed"),
    "401": (status(401), PowerRefused, "refused the user or password"),
    "403": (status(403), PowerRefused, "does not allow this user"),
    "404": (status(404), PowerRefused, "knows no Redfish"),
    "503": (status(503), PowerError, "is busy"),
    "418": (status(418), PowerRefused, "refused"),
    "nothing": (lambda handler: True, PowerError, "cannot be reached|broke off|did not answer|too slow"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bmc_ends_in_words_and_in_time(paper, power, name):
    paper.bend, kind, words = HOSTILE[name]
    began = time.monotonic()
    with pytest.raises(PowerError, match=words) as caught:
        power.state()
    assert time.monotonic() - began < DEADLINE_SECONDS + 30
    assert type(caught.value) is kind
    assert "node7: the BMC at 127.0.0.1" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_refusal_that_repeats_the_password_is_cleaned(paper, power):
    paper.bend = lambda handler: handler.path.endswith("/Reset") and status(400)(handler)
    with pytest.raises(PowerRefused, match="refused \\(400\\): no •••"):
        power.on()


def test_an_address_where_nobody_listens(endpoint):
    with pytest.raises(PowerError, match="refused the connection"):
        driver_for(replace(endpoint, port=1)).state()


def test_a_proxy_of_the_environment_is_not_used(power, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert power.state() == Power.OFF


@pytest.mark.parametrize(
    "path", ["//evil/redfish/", "http://evil/redfish/v1/", "/redfish/../x", "/redfish/%2e%2e/x", "/"]
)
def test_paths_that_lead_elsewhere_are_not_followed(path):
    assert not is_path(path)
