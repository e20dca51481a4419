"""Enters the lab's practice servers and their image into the inventory, as if an operator had."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.utils.timezone import now

from installs import actions, plan, ramdisk
from installs.images.intake import add_image
from installs.lifecycle import State as InstallState
from installs.models import Image, Install
from installs.watching import follow
from lab import control, profiles, tiny
from lab.errors import NotRunning
from machines import doorbell
from machines.lifecycle import State
from machines.models import Bmc, BootOrder, Disk, Interface, Machine, MachineType, Site, Switch
from machines.network.rules import parse_ports

SITE, BY = "practice", "dodai"
SWITCH = "practice"
RACK = "Practice"
TINY_SWAP_MIB = 64
LOOK_EVERY_SECONDS = 3.0

Say = Callable[[str], None]


def keep(count: int, say: Say) -> None:
    """Have practice servers while they are wanted, and none otherwise, for ever.

    The site's row says which; this process only follows it, so that a restart changes nothing.
    """
    settled = None
    while True:
        settled = settle(count, say, settled)
        connection.close()
        time.sleep(LOOK_EVERY_SECONDS)


def settle(count: int, say: Say, settled: bool | None) -> bool | None:
    """One look: prepare them or put them away if that is not done. What is settled now; None: look again."""
    wanted = is_wanted()
    if wanted == settled:
        return settled
    if wanted:
        prepare(count, say)
        return True
    return False if put_away(say) else None


def is_wanted() -> bool:
    """Whether nobody has removed the practice servers."""
    return not Site.objects.filter(is_practice=True, closed_at__isnull=False).exists()


def remove(*, by: str) -> None:
    """Take the practice servers out of the fleet, for good; what was done with them stays in the history."""
    Site.objects.filter(is_practice=True).update(closed_at=now())
    for install in Install.objects.live().filter(machine__site__is_practice=True):
        with contextlib.suppress(actions.Refused):  # it has just ended by itself
            actions.cancel(install, by=by)
    retire_others(set())
    doorbell.tell_pages()


def bring_back() -> None:
    """Want them again. The process that keeps them does the rest."""
    Site.objects.filter(is_practice=True).update(closed_at=None)
    doorbell.tell_pages()


def put_away(say: Say) -> bool:
    """Switch off what runs in the lab and retire what was still busy. False: some are, try again."""
    retire_others(set())
    with contextlib.suppress(NotRunning):
        control.ask(settings.DATA, "stop")
    if Machine.objects.practice().exclude(state=State.RETIRED).exists():
        return False
    say("The practice servers are removed; Connect real servers has a button that brings them back.")
    return True


def prepare(count: int, say: Say) -> None:
    """Build what the practice servers need, enter them and look at the new ones. Doing it again is quick."""
    ramdisk.build("lab", settings.DATA, say)
    _enter_tiny(say)
    fleet = profiles.profiles(count, settings.DATA)
    machines = [register(profile) for profile in fleet]
    retire_others({machine.name for machine in machines})
    unseen = _inspect([machine for machine in machines if machine.inspected_at is None], say)
    ready = f"{len(machines)} practice server{'s are' if len(machines) != 1 else ' is'} ready"
    if unseen:
        say(f"{len(machines) - unseen} of {ready}: the pages say why the others could not be inspected.")
    else:
        say(f"{ready}.")


@transaction.atomic
def register(profile: profiles.Profile) -> Machine:
    """Enter one practice server, or bring its row up to date with the lab's data folder."""
    kind, _ = MachineType.objects.get_or_create(
        name=f"practice-{profile.boot_order}-first", defaults={"boot_order": BootOrder(profile.boot_order)}
    )
    machine, is_new = Machine.objects.get_or_create(
        name=profile.name,
        defaults={
            "site": _site(),
            "type": kind,
            "serial": profile.serial,
            "uuid": profile.uuid,
            "rack": RACK,
            "unit": int(profile.name.rpartition("-")[2]),
        },
    )
    if not machine.is_practice:
        raise actions.Refused(
            f"the inventory has a machine of its own named {profile.name}: rename it, or start with --no-lab"
        )
    bmc, _ = Bmc.objects.get_or_create(machine=machine, defaults={"driver": "ipmi"})
    bmc.driver, bmc.host, bmc.port, bmc.username = "ipmi", profile.bmc_host, profile.bmc_port, profile.bmc_user
    bmc.set_password(profile.bmc_password)
    bmc.save()
    Interface.objects.get_or_create(mac=profile.mac, defaults={"machine": machine, "is_pxe": True})
    if profile.service_mac:
        _enter_service_card(machine, profile)
    if is_new:
        Disk.objects.create(machine=machine, serial=profile.disk_serial, is_root=True)
    if machine.state == State.RETIRED:
        Machine.objects.filter(pk=machine.pk).update(state=State.FREE if machine.inspected_at else State.NEW)
        machine.refresh_from_db()
    return machine


def _enter_service_card(machine: Machine, profile: profiles.Profile) -> None:
    """Its second card, in the lab's own switch: nobody else is there, so every VLAN may be used."""
    switch, _ = Switch.objects.get_or_create(name=SWITCH, defaults={"driver": "lab", "vlans": "1-4094"})
    switch.settings = {"data": str(settings.DATA)}
    switch.ports = ", ".join(sorted(parse_ports(switch.ports) | {profile.name}))
    switch.save(update_fields=["settings", "ports"])
    place = {"machine": machine, "switch": switch, "switch_port": profile.name}
    Interface.objects.get_or_create(mac=profile.service_mac, defaults=place)


def retire_others(kept: set[str]) -> None:
    """Practice servers that the lab no longer has stay in the history, and nothing is tried on them."""
    gone = Machine.objects.practice().exclude(name__in=kept).exclude(pk__in=Install.objects.live().values("machine"))
    # PostgreSQL looks again only at the row itself after waiting for an install to begin on it.
    Machine.objects.filter(pk__in=gone.values("pk"), handled_by="").update(state=State.RETIRED)


def _site() -> Site:
    ports = [urlsplit(url).port or 80 for url in (settings.PROVISION_URL, settings.IMAGE_URL)]
    provision_url, image_url = profiles.guest_urls(*ports)
    site, _ = Site.objects.update_or_create(
        name=SITE, defaults={"is_practice": True, "provision_url": provision_url, "image_url": image_url}
    )
    return site


def _enter_tiny(say: Say) -> None:
    """Enter the newest `tiny`; an older one of another content stays, renamed and retired, for its history."""
    built = tiny.build(settings.DATA, say)
    wanted = Path(built.path)
    current = Image.objects.filter(name="tiny").first()
    if current and plan.image_file(current).exists() and current.size_bytes == wanted.stat().st_size:
        return
    if current:
        Image.objects.filter(pk=current.pk).update(name=f"tiny {current.sha256[:8]}", retired_at=now())
    add_image(wanted, name="tiny", unpacked_bytes=built.unpacked_bytes, swap_mib=TINY_SWAP_MIB, say=say)


def _inspect(machines: list[Machine], say: Say) -> int:
    """Look at all of them at once, and wait: each look ends by its own deadlines. How many could not be looked at."""
    started: list[Install] = []
    for machine in machines:
        live = Install.objects.live().filter(machine=machine).first()
        started.append(live or actions.start_inspection(machine, by=BY))
        say(f"Looking at {machine.name} from inside ...")
    for install in started:
        for _ in follow(install.pk):
            pass
        install.refresh_from_db()
        say(f"{install.machine.name}: {'inspected' if install.state == InstallState.INSTALLED else install.error}")
    return sum(install.state != InstallState.INSTALLED for install in started)
