"""Begins attempts: those that people ask for, and fallbacks. The caller has locked the machine."""

from django.utils.timezone import now

from installs import effects
from installs.handover import keypair
from installs.methods import METHODS
from installs.models import Event, Install, Script, add_event
from installs.plan import Plan
from installs.rows import ring
from machines import actions as machine_actions
from machines import doorbell


def create(made: Plan, *, by: str, retry_of: Install | None, for_pool: bool = False) -> Install:
    """Queue an install by a plan that is possible. Raises IntegrityError where its machine has a live one.

    `for_pool`: its machine then waits for an owner, to whom it is handed over: see handover/.
    """
    machine = made.machine
    install = Install.objects.create(
        machine=machine, image=made.image, method=made.method, plan=made.frozen, plan_digest=made.digest,
        requested_by=by, retry_of=retry_of, fallback=made.way, is_for_pool=for_pool,
    )  # fmt: skip
    # The script names its attempt; it is frozen here, so that later changes of Dodai's files do not reach it.
    install.plan["attempt"]["id"] = install.pk
    install.save(update_fields=["plan"])
    Script.objects.create(install=install, text=METHODS[made.method].script(install.plan))
    if made.image:
        keypair.forget_those_of(machine)  # what they opened is about to be written over
    if for_pool:
        keypair.make(install)
    add_event(install, Event.Kind.STATE, "queue", by=by, text=f"plan {install.plan_digest[:12]}")
    machine.handled_by, machine.power_poll_at = str(install), now()  # its power is read often from now on
    effects.begun(install, machine)
    machine.save(update_fields=[*effects.COLUMNS, "power_poll_at"])
    machine_actions.drop_power_commands(machine, why=f"{install} took over")
    doorbell.tell_pages(install=install.pk, machine=machine.pk)
    ring()
    return install


def first_of(install: Install) -> Install:
    """The attempt that a person approved: itself, or the one whose fallback it is."""
    while install.fallback and install.retry_of:
        install = install.retry_of
    return install
