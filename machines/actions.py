"""What can be done to machines, beside installing them. Called by pages, commands, jobs and callbacks alike."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

from machines import doorbell, identity, lifecycle, own_hosts
from machines.facts import Facts, FoundDisk
from machines.lifecycle import State
from machines.models import Disk, Interface, Machine, PowerCommand, Sighting
from machines.models.history import CHANGED, record_many
from machines.power.base import Power

POWER_ACTIONS = ("on", "off", "soft", "reset", "status")
SIGHTINGS_KEPT = 5000
JOB = "machines.jobs.run_power_commands"


class Refused(Exception):
    """It cannot be done now. The message says why and what to do."""


class NotThisMachine(Exception):
    """What was found inside is another machine than the inventory says."""


def request_power(machine: Machine, action: str, *, by: str) -> PowerCommand:
    """Ask for a power command; a worker carries it out within seconds. Raises Refused."""
    if action not in POWER_ACTIONS:
        values = {"name": action, "known": ", ".join(POWER_ACTIONS)}
        raise Refused(_("there is no power command %(name)s: choose one of %(known)s") % values)
    try:
        with transaction.atomic():
            machine = Machine.objects.select_for_update().get(pk=machine.pk)
            if action != "status":
                _refuse_if_busy(machine)
            command = PowerCommand.objects.create(machine=machine, action=action, asked_by=by)
    except IntegrityError as exc:
        words = _("%(name)s: a power command is already under way, wait for it") % {"name": machine.name}
        raise Refused(words) from exc
    doorbell.ring(JOB)
    doorbell.tell_pages(machine=machine.pk)
    return command


def drop_power_commands(machine: Machine, *, why: str) -> None:
    """End what operators asked of a machine that is now in other hands; a worker in the middle of it stores nothing."""
    live = machine.power_commands.filter(state__in=[PowerCommand.State.ASKED, PowerCommand.State.RUNNING])
    live.exclude(action="status").update(state=PowerCommand.State.FAILED, ended_at=now(), message=why[:500])


def record_power(machine: Machine, state: Power, *, error: str = "", next_in: timedelta) -> None:
    """Store one reading of the power state; `error` says why it is unknown."""
    moment = now()
    changed = machine.power_state != state
    values = {
        "power_seen_at": moment,
        "power_state": state,
        "power_error": error[:255],
        "power_poll_at": moment + next_in,
    }
    if changed:
        values["power_since"] = moment
    if error:
        values.pop("power_seen_at")  # the age shown is that of the last true reading
    Machine.objects.filter(pk=machine.pk).update(**values)
    if changed or machine.power_error != error[:255]:
        doorbell.tell_pages(machine=machine.pk)


def record_sighting(mac: str, *, address: str | None, platform: str = "", serial: str = "", uuid: str = "") -> None:
    """Note that an unknown machine asked how to boot. Only the newest SIGHTINGS_KEPT are kept."""
    seen = {"last_seen_at": now(), "address": address, "platform": platform}
    seen |= {"serial": identity.normal_serial(serial), "uuid": identity.normal_uuid(uuid)}
    sighting, is_new = Sighting.objects.get_or_create(mac=mac, defaults=seen)
    if not is_new:
        Sighting.objects.filter(pk=sighting.pk).update(**seen, count=F("count") + 1)
    elif Sighting.objects.count() > SIGHTINGS_KEPT:
        Sighting.objects.order_by("last_seen_at")[0].delete()
    doorbell.tell_pages()


def apply_facts(machine: Machine, found: Facts) -> None:
    """Store what an inspection found. Raises NotThisMachine, and stores nothing, when it is another machine."""
    with transaction.atomic():
        machine = Machine.objects.select_for_update().get(pk=machine.pk)
        must_be(machine, found)
        machine.serial, machine.uuid = machine.serial or found.serial, machine.uuid or found.uuid
        machine.facts, machine.inspected_at = found.raw, now()
        if machine.state == State.NEW:
            machine.state = lifecycle.after(machine.state, "inspected")
        machine.save(update_fields=["serial", "uuid", "facts", "inspected_at", "state"])
        _store_interfaces(machine, found)
        _store_disks(machine, found)
    doorbell.tell_pages(machine=machine.pk)


def set_aside(machine: Machine, *, by: str, why: str, until: datetime | None) -> None:
    """Keep everybody's hands off a machine. Raises lifecycle.NotAllowed; Refused while something works on it."""
    with transaction.atomic():
        machine = Machine.objects.select_for_update().get(pk=machine.pk)
        if machine.state == State.WARM:
            words = _("%(name)s is warm: mark it as broken, or install it anew, to take it out of the pool.")
            raise Refused(words % {"name": machine.name})
        was, machine.state = machine.state, lifecycle.after(machine.state, "set_aside")
        if machine.handled_by:
            raise Refused(_in_hands(machine))
        machine.aside_by, machine.aside_why, machine.aside_until = by, why, until
        machine.save(update_fields=["state", "aside_by", "aside_why", "aside_until"])
        record_many([(machine, CHANGED, {"state": [str(State(was).label), f"{State.ASIDE.label}: {why}"]})])
    doorbell.tell_pages(machine=machine.pk)


def choose_root_disk(disk: Disk) -> None:
    """Make this disk the one that installs go to. Raises Refused while something is at work on the machine."""
    with transaction.atomic():
        machine = Machine.objects.select_for_update().get(pk=disk.machine_id)
        _refuse_if_busy(machine)
        if disk.is_removable:
            words = _("%(name)s: %(disk)s is removable, choose a disk that stays in")
            raise Refused(words % {"name": machine.name, "disk": disk})
        for other in machine.disks.filter(Q(is_root=True) | Q(pk=disk.pk)):
            other.is_root = other.pk == disk.pk
            other.save(update_fields=["is_root"])
    doorbell.tell_pages(machine=machine.pk)


def _refuse_if_busy(machine: Machine) -> None:
    if machine.protected:
        raise Refused(_("%(name)s is protected: take the protection off first") % {"name": machine.name})
    if own := own_hosts.why(machine):
        raise Refused(own)
    if machine.handled_by:
        raise Refused(_in_hands(machine))


def _in_hands(machine: Machine) -> str:
    values = {"name": machine.name, "who": machine.handled_by}
    return _("%(name)s is in the hands of %(who)s: cancel that first") % values


def must_be(machine: Machine, found: Facts) -> None:
    """Raises NotThisMachine where what was found inside is, or belongs to, another machine of the inventory."""
    if machine.serial and found.serial and machine.serial != found.serial:
        raise NotThisMachine(
            f"{machine.name}: found the serial number {found.serial}, the inventory says {machine.serial}"
        )
    if machine.uuid and found.uuid and not identity.same_uuid(machine.uuid, found.uuid):
        raise NotThisMachine(f"{machine.name}: found the system UUID {found.uuid}, the inventory says {machine.uuid}")
    others = Machine.objects.exclude(pk=machine.pk)
    twin = others.filter(interfaces__mac__in=found.macs).first()
    if twin:
        raise NotThisMachine(f"{machine.name}: a network card found in it belongs to {twin.name} in the inventory")
    twin = others.filter(serial__iexact=found.serial).first() if found.serial else None
    if twin:
        raise NotThisMachine(f"{machine.name}: found the serial number {found.serial}, which is {twin.name}'s")
    twin = others.filter(uuid__in=identity.spellings_of_uuid(found.uuid)).first()
    if twin:
        raise NotThisMachine(f"{machine.name}: found the system UUID {found.uuid}, which is {twin.name}'s")
    _refuse_other_bmc(machine, others, found)


def _refuse_other_bmc(machine: Machine, others: QuerySet[Machine], found: Facts) -> None:
    """Its own BMC is another machine's in the inventory: power commands would go to the wrong one."""
    told = found.raw.get("bmc_address")
    address = identity.normal_host(told) if isinstance(told, str) else ""
    bmc = getattr(machine, "bmc", None)
    if not address or (bmc and identity.normal_host(bmc.host) == address):
        return
    if twin := others.filter(bmc__host__iexact=address).first():
        raise NotThisMachine(f"{machine.name}: found the BMC {address}, which is {twin.name}'s")


def _store_interfaces(machine: Machine, found: Facts) -> None:
    details = {
        identity.normal_mac(card["mac"]): card for card in found.raw.get("interfaces", []) if _has_mac(card, found)
    }
    for mac in found.macs:
        card = details.get(mac, {})
        speed, link = card.get("speed_mbps"), card.get("link")
        Interface.objects.update_or_create(
            mac=mac,
            defaults={
                "machine": machine, "seen_at": now(), "name": str(card.get("name", ""))[:31],
                "speed_mbps": speed if isinstance(speed, int) and 0 < speed < 1 << 31 else None,
                "has_link": link if isinstance(link, bool) else None,
            },
        )  # fmt: skip


def _has_mac(card: object, found: Facts) -> bool:
    try:
        return isinstance(card, dict) and identity.normal_mac(str(card.get("mac"))) in found.macs
    except identity.BadIdentity:
        return False


def _store_disks(machine: Machine, found: Facts) -> None:
    ambiguous = _forget_ambiguous_roots(machine, found)
    seen = []
    for disk in found.disks:
        if disk.serial or disk.wwn:
            seen.append(_store_disk(machine, disk).pk)
    machine.disks.filter(is_root=False).exclude(pk__in=seen).delete()
    machine.disks.exclude(pk__in=seen).update(path="")
    candidates = [disk for disk in machine.disks.filter(pk__in=seen) if not disk.is_removable]
    if len(candidates) == 1 and not ambiguous and not machine.disks.filter(is_root=True).exists():
        machine.disks.filter(pk=candidates[0].pk).update(is_root=True)


def _forget_ambiguous_roots(machine: Machine, found: Facts) -> bool:
    """A serial number that several disks have (namespaces, LUNs) chooses none of them: the operator must."""
    ambiguous = False
    for root in machine.disks.filter(is_root=True, wwn="").exclude(serial=""):
        if sum(disk.serial == root.serial for disk in found.disks) > 1:
            machine.disks.filter(pk=root.pk).update(is_root=False)
            ambiguous = True
    return ambiguous


def _store_disk(machine: Machine, disk: FoundDisk) -> Disk:
    """A disk is known again by its WWN or its serial number: inventories often have only one of the two."""
    same = Q(wwn=disk.wwn) & ~Q(wwn="") | Q(serial=disk.serial, wwn__in=["", disk.wwn]) & ~Q(serial="")
    stored = machine.disks.filter(same).order_by("-is_root").first() or Disk(machine=machine)
    machine.disks.filter(same).exclude(pk=stored.pk).delete()
    stored.serial, stored.wwn = disk.serial or stored.serial, disk.wwn or stored.wwn
    stored.size_bytes, stored.model, stored.transport, stored.path = (
        disk.size_bytes,
        disk.model,
        disk.transport,
        disk.path,
    )
    stored.is_rotational, stored.is_removable = disk.is_rotational, disk.is_removable
    stored.signatures, stored.seen_at = list(disk.signatures), now()
    stored.save()
    return stored
