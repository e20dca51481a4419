"""Deadlines are for switches, not for a busy computer: here they are long, but where a test is about them."""

import pytest

from machines.network import DRIVERS, netmiko, openvswitch, soap

PATIENT_SECONDS = 120


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in DRIVERS.values():
        monkeypatch.setattr(driver, "seconds", 2.0 * PATIENT_SECONDS)
    for module, names in ((netmiko, ("CONNECT_SECONDS", "ANSWER_SECONDS")), (openvswitch, ("ANSWER_SECONDS",)),
                          (soap, ("ANSWER_SECONDS",))):  # fmt: skip
        for name in names:
            monkeypatch.setattr(module, name, PATIENT_SECONDS)
