"""What a machine gets that starts from the network: its own disk, or, for a live install, the ramdisk.

Computed from the database at every request. Whoever asks in an unknown way is sent to its own disk.
"""

from dataclasses import dataclass

from django.db import transaction
from django.utils.timezone import now

from installs import ending, staying, tokens, untouchable
from installs.lifecycle import State
from installs.methods import METHODS
from installs.methods.base import BootKernel, NetworkBoot
from installs.models import Boot, Event, Install, add_alert, add_event
from installs.rows import save
from installs.scripts import TOKEN_PLACEHOLDER
from machines import actions, identity
from machines.models import LocalBoot, Machine

BOOTS_KEPT = 20


@dataclass(frozen=True)
class Question:
    """Who asks, as far as its firmware tells. None of it is proof of anything."""

    mac: str
    address: str | None = None
    platform: str = ""
    serial: str = ""
    uuid: str = ""


@dataclass(frozen=True)
class BootDisk:
    local_boot: str = LocalBoot.AUTO


def answer(question: Question) -> BootDisk | BootKernel:
    """Decide what this network boot leads to. Raises BadIdentity for what is no MAC."""
    mac = identity.normal_mac(question.mac)
    machine = Machine.objects.with_mac(mac).select_related("type", "site").first()
    if machine is None:
        actions.record_sighting(
            mac, address=question.address, platform=question.platform, serial=question.serial, uuid=question.uuid
        )
        return BootDisk()
    local = BootDisk(machine.type.local_boot if machine.type else LocalBoot.AUTO)
    pxe = machine.pxe_interface
    if pxe is not None and pxe.mac != mac:
        return local
    return _kernel(machine, mac, question.address) or local


def fetch_script(token: str, boot_id: str) -> str | None:
    """The script for the kernel boot that holds this boot token; None when there is none for it.

    The first boot_id that comes with a token is the only one it ever serves; the same one may ask again.
    """
    with transaction.atomic():
        boot = Boot.objects.select_for_update().filter(token_hash=tokens.digest(token)).first()
        if boot is None or not boot_id:
            return None
        locked = Install.objects.select_for_update(of=("self",))
        install = locked.select_related("machine", "script").get(pk=boot.install_id)
        if not staying.may_start(install):
            return None
        if boot.boot_id and boot.boot_id != boot_id:
            add_alert(install, "second-claimant", "A second machine used a boot script's address.")
            return None
        if install.state != State.INSTALLED:
            _warn_of_other_boots(install, boot, boot_id)
        installer_token = tokens.following(boot.token_hash, boot_id, purpose="installer")
        boot.boot_id, boot.script_at, boot.installer_hash = boot_id, now(), tokens.digest(installer_token)
        boot.save(update_fields=["boot_id", "script_at", "installer_hash"])
        if install.state == State.WAITING and install.silence:
            save(install, quiet_until=now() + install.silence)
        return install.script.text.replace(TOKEN_PLACEHOLDER, installer_token)


def fetch_file(token: str, name: str) -> str | None:
    """A file that the method serves to the network boot which was told this boot token; None when there is none."""
    boot = (
        Boot.objects.filter(token_hash=tokens.digest(token))
        .select_related("install__machine", "install__image")
        .first()
    )
    if boot is None or not staying.may_start(boot.install):
        return None
    install = boot.install
    method = METHODS[install.method]
    return method.file(name, install, NetworkBoot(token, boot.mac, install.plan["provision_url"]))


def _kernel(machine: Machine, mac: str, address: str | None) -> BootKernel | None:
    with transaction.atomic():
        running = Install.objects.select_for_update(of=("self",)).filter(
            machine=machine, state__in=[State.RUNNING, State.WAITING]
        )
        install = running.first()
        if install is None:
            return _again(machine, mac, address)
        cause, error = untouchable.why(install.machine)
        if cause:
            if install.granted_at is None:
                ending.stop_locked(install, cause=cause, error=error)
            return None
        said = set(install.events.filter(kind=Event.Kind.MACHINE).values_list("name", flat=True))
        method = METHODS[install.method]
        if not method.boots_network(said):
            return None
        token = tokens.new()
        install.boots.create(token_hash=tokens.digest(token), mac=mac, address=address)
        _forget_unused_boots(install)
        if install.boots.count() == 1:
            add_event(
                install,
                Event.Kind.NOTE,
                "boot-answer",
                text=f"{mac} asked how to boot and got the ramdisk",
                address=address,
            )
        if install.state == State.WAITING and install.silence:
            save(install, quiet_until=now() + install.silence)
        return method.kernel(install.plan, NetworkBoot(token, mac, install.plan["provision_url"]))


def _again(machine: Machine, mac: str, address: str | None) -> BootKernel | None:
    """One more boot of what the machine runs from memory."""
    install = staying.install_of(machine)
    if install is None or Install.objects.live().filter(machine=machine).exists():
        return None
    token = tokens.new()
    install.boots.create(token_hash=tokens.digest(token), mac=mac, address=address)
    old = install.boots.order_by("-pk").values_list("pk", flat=True)[BOOTS_KEPT:]
    install.boots.filter(pk__in=list(old)).delete()
    return METHODS[install.method].kernel(install.plan, NetworkBoot(token, mac, install.plan["provision_url"]))


def _forget_unused_boots(install: Install) -> None:
    """Whoever knows a MAC may ask; only the newest answers that nobody has used yet are kept."""
    unused = install.boots.filter(boot_id="").order_by("-pk").values_list("pk", flat=True)
    install.boots.filter(pk__in=list(unused[BOOTS_KEPT:])).delete()


def _warn_of_other_boots(install: Install, boot: Boot, boot_id: str) -> None:
    others = install.boots.exclude(pk=boot.pk).exclude(boot_id__in=["", boot_id])
    if others.exists():
        add_alert(
            install,
            "booted-again",
            "The machine, or another one with its MAC, booted the ramdisk again. Only one boot gets the grant.",
        )  # fmt: skip
