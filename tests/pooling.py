"""Machines of the pool, and ends of attempts, for tests that look at neither."""

from dataclasses import replace
from datetime import timedelta

from django.utils.timezone import now

from installs import actions, ending, flow
from installs.allocation import asking, turns
from installs.claim import Claim
from installs.models import Image, Install, PoolLevel
from installs.rows import save
from machines.models import Cluster, Interface, Machine, MachineType, PortMove, Switch, Vlan
from tests import installing


def warm(machine: Machine, image: Image, *, host_keys: tuple[str, ...] = ()) -> Install:
    """As an install into the pool leaves a machine."""
    install = actions.start_install(machine, image, by="the pool", for_pool=True, is_capped=False)
    install.machine_key.host_keys = list(host_keys)
    install.machine_key.save()
    return succeed(install)


def succeed(install: Install) -> Install:
    """It ends well, whatever its steps would do."""
    _begun(install)
    install.refresh_from_db()
    ending.finish(install)
    return install


def fail(install: Install, *, cause: str = "silent", granted: bool = True) -> Install:
    """It fails, by the way that all failures take; `granted`: after it may have written."""
    _begun(install)
    install.refresh_from_db()
    if granted and install.image:
        save(install, granted_at=now(), granted_boot_id="00000000-0000-0000-0000-000000000001")
    ending.stop(install.pk, cause=cause, error="it was to fail")
    ending.end(Claim(Install.objects.select_related("machine").get(pk=install.pk)))
    install.refresh_from_db()
    return install


def wanted() -> asking.Asked:
    """Two of the type m1 with Debian into a cluster with its VLAN."""
    vlan = Vlan.objects.create(vid=210, name="web")
    cluster = Cluster.objects.create(
        name="web", vlan=vlan, network="10.2.10.0/24", gateway="10.2.10.1", first_address="10.2.10.20"
    )
    return asking.Asked(MachineType.objects.create(name="m1"), installing.make_image("debian-12"), cluster, count=2)


def cabled_fleet(asked: asking.Asked) -> list[Machine]:
    """Eight of the type, some in no state to be had, with cards in a switch."""
    leaf = Switch.objects.create(name="leaf-3", vlans="210", ports="Ethernet1/1..48")
    machines = []
    for number in range(1, 9):
        machine = installing.make_machine(f"node{number}", number=number, type=asked.type)
        Interface.objects.create(
            machine=machine, mac=f"52:54:00:00:01:{number:02x}", switch=leaf, switch_port=f"Ethernet1/{number}"
        )
        machines.append(machine)
    Machine.objects.filter(name="node5").update(protected=True)
    Machine.objects.filter(name="node6").update(state="in_use", cluster=asked.cluster, image_name="debian-12")
    Machine.objects.filter(name="node7").update(
        state="releasing", cluster=asked.cluster, erase_at=now() + timedelta(minutes=50)
    )
    leaf.read_report = [{"port": f"Ethernet1/{n}", "vlan": 1 if n == 6 else 210} for n in range(1, 12)]
    leaf.read_at = now() - timedelta(minutes=4)
    leaf.save()
    PortMove.objects.create(
        switch=leaf, port="Ethernet1/4", vlan=210, asked_by="ada", state="asked",
        interface=Interface.objects.get(switch_port="Ethernet1/4"),
    )  # fmt: skip
    return machines


def address_of(asked: asking.Asked, **changes: object) -> str:
    """Of the plan for it."""
    given = {
        "type": asked.type.pk,
        "image": asked.image.pk,
        "cluster": asked.cluster.pk,
        "count": asked.count,
    } | changes
    return "/allocations/new/?" + "&".join(f"{name}={value}" for name, value in given.items())


def some_of_each(asked: asking.Asked, fleet: list[Machine]) -> list[str]:
    """An allocation in which one machine failed and a spare came, and a level of the pool; the pages that show it."""
    warm(fleet[7], asked.image)
    problem = "1 more wanted: no machine of the type m1 is free for it."
    PoolLevel.objects.create(type=asked.type, image=asked.image, level=3, problem=problem)
    made = asking.ask(replace(asked, count=3, spares=1, owner="ada"), by="bea")
    fail(Install.objects.get(machine__name="node2"), cause="digest")
    turns.take_all()
    warm(Machine.objects.get(name="node4"), asked.image)
    cluster = asked.cluster
    return [
        "/allocations/", f"/allocations/{made.pk}/", address_of(asked, spares=2), "/allocations/new/", "/pool/",
        "/cabling/", f"/vlans/{cluster.vlan_id}/", f"/clusters/{cluster.pk}/", "/machines/node7/", "/machines/node6/",
    ]  # fmt: skip


def _begun(install: Install) -> None:
    flow.begin_next()
    Install.objects.filter(pk=install.pk, state="waiting").update(state="running")
    Install.objects.filter(pk=install.pk).update(owner="", lease_until=None)
