"""Machines of the pool, and ends of attempts, for tests that look at neither."""

from django.utils.timezone import now

from installs import actions, ending, flow
from installs.claim import Claim
from installs.models import Image, Install
from installs.rows import save
from machines.models import Machine


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


def _begun(install: Install) -> None:
    flow.begin_next()
    Install.objects.filter(pk=install.pk, state="waiting").update(state="running")
    Install.objects.filter(pk=install.pk).update(owner="", lease_until=None)
