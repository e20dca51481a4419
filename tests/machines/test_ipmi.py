"""The IPMI driver against a real IPMI 2.0 server."""

import socket
import time
from dataclasses import replace

import pytest

from machines.power import DRIVERS, driver_for
from machines.power.base import BmcEndpoint, BootDevice, Power, PowerError, PowerRefused
from machines.power.child import DEADLINE_SECONDS, call_in_child
from tests.machines.bmcs import PASSWORD, running_bmc


@pytest.fixture(scope="module")
def bmc():
    with running_bmc() as (guest, endpoint):
        yield guest, endpoint


@pytest.fixture
def guest(bmc):
    bmc[0].is_on = False
    return bmc[0]


@pytest.fixture
def power(bmc):
    return driver_for(bmc[1])


def test_switches_on_and_off(guest, power):
    assert power.state() == Power.OFF
    power.on()
    assert (power.state(), guest.is_on) == (Power.ON, True)
    power.reset()
    power.off()
    assert power.state() == Power.OFF


def test_every_command_may_come_twice(guest, power):
    for _ in range(2):
        power.on()
    for _ in range(2):
        power.off()
    assert power.state() == Power.OFF


def test_soft_off_asks_the_os(guest, power):
    power.on()
    power.soft_off()
    assert power.state() == Power.OFF


def test_reset_of_a_machine_that_is_off_is_refused(guest, power):
    with pytest.raises(PowerRefused, match="power state"):
        power.reset()


@pytest.mark.parametrize("device", [BootDevice.NETWORK, BootDevice.DISK])
@pytest.mark.parametrize("persistent", [True, False])
def test_the_boot_device_is_set_and_read_back(guest, power, device, persistent):
    power.boot_from(device, persistent=persistent)
    assert power.boot_device() == device
    assert (guest.override.device, guest.override.persistent) == (device.value, persistent)


def test_uefi_machines_are_asked_for_an_efi_boot(guest, bmc):
    driver_for(replace(bmc[1], uefi=True)).boot_from(BootDevice.NETWORK)
    assert guest.override.uefi


def test_a_default_boot_device_takes_the_order_back(guest, power):
    power.boot_from(BootDevice.NETWORK, persistent=True)
    power.boot_from(BootDevice.DEFAULT)
    assert power.boot_device() == BootDevice.DEFAULT


@pytest.mark.parametrize("change", [{"password": "wrong-wrong"}, {"username": "nobody"}])
def test_wrong_credentials_are_refused_in_words(guest, bmc, change):
    with pytest.raises(PowerRefused, match="refused the user or password") as caught:
        driver_for(replace(bmc[1], **change)).state()
    assert PASSWORD not in str(caught.value)
    assert "node1" in str(caught.value)


def test_it_logs_in_again_after_a_refusal(guest, bmc, power):
    with pytest.raises(PowerRefused):
        driver_for(replace(bmc[1], password="wrong-wrong")).state()
    assert power.state() == Power.OFF


@pytest.mark.parametrize("privilege", ["operator", "administrator"])
def test_it_uses_what_a_test_found_to_work(guest, bmc, privilege):
    driver_for(replace(bmc[1], cipher_suite=3, privilege=privilege)).on()
    assert guest.is_on


def test_a_silent_bmc_ends_within_its_deadline():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        began = time.monotonic()
        with pytest.raises(PowerError, match=r"does not answer|did not answer"):
            driver_for(
                BmcEndpoint("node1", "ipmi", "127.0.0.1", silent.getsockname()[1], username="a", password="b")
            ).state()
        assert time.monotonic() - began < DEADLINE_SECONDS + 30


def test_a_hung_call_is_killed():
    began = time.monotonic()
    with pytest.raises(PowerError, match="did not answer within 1 s"):
        call_in_child(lambda: time.sleep(600), whom="node1", seconds=1)
    assert time.monotonic() - began < 60


def test_an_exception_nobody_expects_is_a_power_error():
    with pytest.raises(PowerError, match="ZeroDivisionError"):
        call_in_child(lambda: 1 / 0, whom="node1")


def test_a_child_that_dies_is_a_power_error():
    import os

    with pytest.raises(PowerError, match="without an answer"):
        call_in_child(lambda: os._exit(3), whom="node1")


def test_the_password_stays_out_of_every_text(bmc):
    assert PASSWORD not in repr(bmc[1]) + str(bmc[1])


@pytest.mark.parametrize("slug", DRIVERS)
def test_every_driver_says_what_it_needs(slug):
    endpoint = BmcEndpoint("node1", slug)
    if DRIVERS[slug].needs_address:
        with pytest.raises(PowerRefused, match="no BMC address"):
            driver_for(endpoint)
    else:
        assert driver_for(endpoint).endpoint == endpoint


def test_an_unknown_driver_is_refused():
    with pytest.raises(PowerRefused, match="no power driver"):
        driver_for(BmcEndpoint("node1", "telepathy"))
