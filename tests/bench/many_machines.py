"""A made-up fleet of any size in an empty database: racks, clusters, cards, disks, facts and years of installs."""

import random
import uuid
from datetime import timedelta

from django.utils.timezone import now

from installs.models import Event, Image, Install
from machines.models import Bmc, Cluster, Disk, Interface, Machine, Site, Vlan

PER_RACK = 40
ATTEMPTS = 3  # ended installs of each machine
MODELS = (("Dell Inc.", "PowerEdge R650"), ("Supermicro", "SYS-110P"), ("HPE", "ProLiant DL360 Gen10"))
STEPS = ("set_boot", "power_cycle", "netboot", "fetch", "copy")
BATCH = 2000


def fill(count: int, *, seed: int = 7) -> None:
    """`count` machines, of which some 70 % are in use, 1 % failed lately and up to 200 are at work. Always the same."""
    chance = random.Random(seed)
    images, clusters, site = _images(), _clusters(), Site.objects.get_or_create(name="main")[0]
    machines = [_machine(number, site, clusters, chance) for number in range(count)]
    Machine.objects.bulk_create(machines, BATCH)
    Bmc.objects.bulk_create([_bmc(number, machine) for number, machine in enumerate(machines)], BATCH)
    Interface.objects.bulk_create([c for n, m in enumerate(machines) for c in _cards(n, m)], BATCH)
    Disk.objects.bulk_create([d for n, m in enumerate(machines) for d in _disks(n, m)], BATCH)
    Install.objects.bulk_create(_past(machines, images, chance), BATCH)
    _at_work(machines, images)


def _images() -> list[Image]:
    return [
        Image.objects.create(
            name=name, kind="ext4", sha256=f"{number:064x}", size_bytes=700 << 20, unpacked_bytes=600 << 20
        )
        for number, name in enumerate(("debian-12", "ubuntu-24", "rocky-9", "tiny"), start=1)
    ]


def _clusters() -> list[Cluster]:
    vlans = [Vlan.objects.create(vid=100 + n, name=f"tenant-{n}") for n in range(20)]
    return [Cluster.objects.create(name=f"cluster-{n:02}", vlan=vlan) for n, vlan in enumerate(vlans)]


def _machine(number: int, site: Site, clusters: list[Cluster], chance: random.Random) -> Machine:
    maker, product = MODELS[number % len(MODELS)]
    state = chance.choices(("in_use", "free", "new", "aside"), weights=(70, 25, 3, 2))[0]
    moment = now() - timedelta(seconds=chance.randrange(60))
    return Machine(
        name=f"r{number // PER_RACK:03}-u{number % PER_RACK + 1:02}", state=state, site=site,
        cluster=chance.choice([*clusters, None]), rack=f"R{number // PER_RACK:03}", unit=number % PER_RACK + 1,
        serial=f"SN{number:07}", uuid=str(uuid.UUID(int=(number + 100_000) << 64 | 7)), owner=f"team-{number % 30}",
        image_name="debian-12" if state == "in_use" else "", inspected_at=None if state == "new" else moment,
        facts={
            "manufacturer": maker, "product": product, "memory_bytes": 256 << 30, "firmware": "uefi",
            "cpu": {"model": "Intel Xeon Silver 4310", "sockets": 2, "cores": 24, "threads": 48},
            "modaliases": [f"pci:v00008086d{n:08X}sv*sd*bc02sc00i00" for n in range(40)],
        },
        power_state=chance.choice(("on", "on", "on", "off")), power_seen_at=moment,
        power_error="no answer" if chance.random() < 0.005 else "",
    )  # fmt: skip


def _bmc(number: int, machine: Machine) -> Bmc:
    return Bmc(machine=machine, driver="ipmi", host=f"10.{200 + number // 65536}.{number // 256 % 256}.{number % 256}")


def _cards(number: int, machine: Machine) -> list[Interface]:
    macs = [f"3c:ec:{kind:02x}:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}" for kind in (1, 2)]
    return [Interface(machine=machine, mac=mac, name=f"eth{n}", is_pxe=n == 0) for n, mac in enumerate(macs)]


def _disks(number: int, machine: Machine) -> list[Disk]:
    return [
        Disk(machine=machine, serial=f"D{number:07}{n}", size_bytes=480 << 30, path=f"/dev/sd{n}", is_root=n == 0)
        for n in range(2)
    ]


def _past(machines: list[Machine], images: list[Image], chance: random.Random) -> list[Install]:
    made = []
    for attempt in range(ATTEMPTS):
        for number, machine in enumerate(machines):
            failed = chance.random() < 0.01
            queued = now() - timedelta(days=30 * (ATTEMPTS - attempt), seconds=chance.randrange(86400))
            made.append(Install(
                machine=machine, image=images[number % len(images)], method="file-tree", plan_digest="x" * 64,
                plan={"disk": {"serial": "x" * 20}, "kernel_args": "x" * 200},
                state="failed" if failed else "installed", requested_by=f"user-{number % 9}", queued_at=queued,
                cause=chance.choice(("silent", "disk", "no-netboot", "fetch")) if failed else "",
                error=f"{machine.name}: nothing was heard" if failed else "",
                started_at=queued, ended_at=queued + timedelta(seconds=chance.randrange(120, 400)),
            ))  # fmt: skip
    return made


def _at_work(machines: list[Machine], images: list[Image]) -> None:
    busy = machines[:: max(len(machines) // 200, 50)]
    Machine.objects.filter(pk__in=[machine.pk for machine in busy]).update(state="installing", handled_by="an install")
    installs = Install.objects.bulk_create([
        Install(
            machine=machine, image=images[0], method="file-tree", plan_digest="x" * 64, plan={}, state="waiting",
            step=3, phase="copy", done_bytes=200 << 20, total_bytes=600 << 20, requested_by="ada", started_at=now(),
        )
        for machine in busy
    ])  # fmt: skip
    Event.objects.bulk_create(
        [Event(install=install, kind=Event.Kind.STEP, name=name, at=now()) for install in installs for name in STEPS]
    )
