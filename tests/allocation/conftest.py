"""Machines of a type, an image and a cluster to ask for. Power is the driver `fake`.

Imports of models stand in the fixtures: pytest may read this file before Django is set up.
"""

from collections.abc import Iterator

import pytest

from tests.installs.conftest import _listener, _ramdisk_is_built, fake_power  # noqa: F401 - they are used by their names


@pytest.fixture
def kind(db):
    from machines.models import MachineType

    return MachineType.objects.create(name="m1")


@pytest.fixture
def image(db):
    from tests import installing

    return installing.make_image()


@pytest.fixture
def cluster(db):
    from machines.models import Cluster, Vlan

    vlan = Vlan.objects.create(vid=210, name="web")
    return Cluster.objects.create(name="web", vlan=vlan, network="10.2.10.0/24", gateway="10.2.10.1")


@pytest.fixture
def asked(kind, image, cluster):
    from installs.allocation.asking import Asked

    return Asked(kind, image, cluster, count=2)


@pytest.fixture
def fleet(kind) -> Iterator[object]:
    """Call it with a number to have so many free machines of the type, named node1 and so on."""
    from tests import installing

    def make(count: int, **fields: object) -> list[object]:
        return [installing.make_machine(f"node{n}", number=n, type=kind, **fields) for n in range(1, count + 1)]

    return make
