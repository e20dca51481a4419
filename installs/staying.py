"""Machines that run from memory: each of their boots comes from the network, for as long as they run their image."""

from django.db import transaction

from installs import ending, grant, tokens
from installs.lifecycle import State
from installs.methods import METHODS
from installs.models import Boot, Install, add_alert
from installs.rows import lock, save
from machines.facts import Facts
from machines.lifecycle import State as MachineState
from machines.models import Machine

UNDER_WAY = (State.RUNNING, State.WAITING)


def install_of(machine: Machine) -> Install | None:
    """The install whose system the machine runs, where that comes from the network each time."""
    if machine.state != MachineState.IN_USE or not machine.image_name:
        return None
    newest = Install.objects.real_installs().filter(machine=machine, state=State.INSTALLED).order_by("-pk").first()
    method = METHODS.get(newest.method) if newest else None
    return newest if method and method.stays_on_network else None


def may_start(install: Install) -> bool:
    """Whether a boot of this attempt still leads somewhere: under way, or what the machine runs from memory."""
    return install.state in UNDER_WAY or install_of(install.machine) == install


def ask_settings(boot: Boot, facts: Facts) -> grant.Granted | grant.Refused | grant.Over:
    """The settings of a system that writes no disk, for the machine of the inventory and no other.

    While its install goes on all must be as it was approved. Later it is what the machine runs, also once protected.
    """
    with transaction.atomic():
        install = lock(boot.install_id)
        if METHODS[install.method].writes_disks or not may_start(install):
            return grant.Over()
        if problem := grant.wrong_boot(install, boot, facts):
            return grant.Refused(problem)
        if install.state in UNDER_WAY:
            difference = grant.machine_difference(install, facts)
        else:
            difference = grant.identity_difference(install.machine, facts)
        if difference:
            return _refuse(install, *difference)
        token = tokens.following(boot.token_hash, boot.boot_id, purpose="first-boot")
        save(install, first_boot_hash=tokens.digest(token))
        return grant.Granted(token)


def _refuse(install: Install, cause: str, words: str) -> grant.Refused:
    reason = f"{install.machine.name}: {words}. No system was started."
    if install.state in UNDER_WAY:
        ending.stop_locked(install, cause=cause, error=reason)
    else:
        add_alert(install, "settings-refused", reason)
    return grant.Refused(reason)
