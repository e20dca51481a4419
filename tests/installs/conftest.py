"""Installs without hardware: a fake power driver, and a ramdisk that is only named.

Imports of models stand in the fixtures: pytest may read this file before Django is set up.
"""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def fake_power() -> Iterator[None]:
    from machines.power import fake

    fake.forget()
    yield
    fake.forget()


@pytest.fixture(autouse=True)
def _ramdisk_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import installing

    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)


@pytest.fixture(autouse=True)
def _listener(settings) -> None:
    settings.ROOT_URLCONF = "dodaiweb.provision_urls"
    settings.MIDDLEWARE = []
    settings.ALLOWED_HOSTS = ["*"]


@pytest.fixture(autouse=True)
def fake_network() -> Iterator[None]:
    from machines.network import fake

    fake.forget()
    yield
    fake.forget()


@pytest.fixture
def tor(db):
    """A switch of the driver `fake`; what it may be told of, and 999 for parked ports."""
    from machines.models import Switch, Vlan

    return Switch.objects.create(
        name="tor", driver="fake", vlans="1, 100, 210-219", ports="p1..9",
        quarantine=Vlan.objects.create(vid=999, name="quarantine"),
    )  # fmt: skip


@pytest.fixture
def machine(db):
    from tests import installing

    return installing.make_machine()


@pytest.fixture
def server(machine):
    from tests import installing

    return installing.Server(machine)


@pytest.fixture
def steps(db):
    """Call it to do what workers would, in this test's own transaction: quicker than real jobs on a real queue."""
    from installs import flow

    def run() -> None:
        flow.begin_next()
        while flow.run_due():
            pass

    return run
