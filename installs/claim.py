"""One worker's right to work on one install, for as long as its lease lasts."""

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.timezone import now

from installs.lifecycle import State
from installs.models import Event, Install, add_event
from installs.rows import lock
from machines import alive
from machines.models import Machine
from machines.power import PowerDriver, PowerRefused, driver_for
from machines.power.base import BmcEndpoint, BootDevice, Power
from machines.power.child import only_for

LEASE = timedelta(seconds=15)  # twice what one call to a BMC may take


class ClaimLost(Exception):
    """Another worker has the install now, or it was stopped: do nothing more and store nothing."""


def new_owner() -> str:
    """Another one for each claim. It begins with the name of this process, so that its end is noticed: see `sweep`."""
    return f"{alive.own_name()}.{secrets.token_hex(3)}"


def holder_has_ended(owner: str) -> bool:
    """Whether the process that made this owner is certain to be gone."""
    return alive.has_ended(owner.rpartition(".")[0])


class Claim:
    """What a step works with. Every effect goes through it, and it first makes sure that it still may."""

    def __init__(self, install: Install) -> None:
        self.install = install

    @property
    def machine(self) -> Machine:
        return self.install.machine

    @cached_property
    def power(self) -> PowerDriver:
        bmc = getattr(self.machine, "bmc", None)
        if bmc is None:
            raise PowerRefused(f"{self.machine.name} has no power driver: choose one in the inventory")
        return FencedPower(driver_for(bmc.endpoint()), self.renew)

    def note(self, text: str, *, name: str = "note") -> None:
        add_event(self.install, Event.Kind.NOTE, name, text=text)

    def keep(self, **columns: Any) -> None:
        """Store what a step found out, in columns that no one else writes. Raises ClaimLost."""
        self.renew()
        if not self._mine().update(**columns):
            raise ClaimLost

    def renew(self) -> None:
        """Lengthen the lease if, and only if, the row is still as it was claimed. Raises ClaimLost.

        Nor is anything done to a machine that was protected this moment, unless what it needs is to be stopped.
        """
        self.hold(LEASE)

    def hold(self, span: timedelta) -> None:
        """As `renew`, for what takes longer than a call to a BMC. Raises ClaimLost."""
        if not self._mine().update(lease_until=now() + span):
            raise ClaimLost

    def _mine(self) -> QuerySet[Install]:
        touchable = Q(machine__protected=False) | Q(granted_at__isnull=False) | Q(state=State.STOPPING)
        return Install.objects.filter(
            touchable, pk=self.install.pk, owner=self.install.owner, fence=self.install.fence, state=self.install.state
        )

    def lock(self) -> None:
        """In a transaction: until it ends nobody stops the install, nor takes it over. Raises ClaimLost."""
        self.check(lock(self.install.pk))

    def check(self, locked: Install) -> None:
        """Raises ClaimLost unless the locked row is still as it was claimed."""
        claimed = (self.install.owner, self.install.fence, State(self.install.state), self.install.step)
        if (locked.owner, locked.fence, State(locked.state), locked.step) != claimed:
            raise ClaimLost


class FencedPower(PowerDriver):
    """A power driver that renews the claim right before each call: a stale worker's command never leaves.

    A worker that is frozen between the two finds, once it wakes, that the time of its lease is over. IPMI itself cannot
    be fenced, so one packet may already be under way; the write grant makes it harmless.
    """

    slug = "fenced"
    label = "Fenced"

    def __init__(self, driver: PowerDriver, renew: Callable[[], None]) -> None:
        self._driver = driver
        self._renew = renew

    @property
    def endpoint(self) -> BmcEndpoint:  # type: ignore[override]
        return self._driver.endpoint

    def state(self) -> Power:
        return self._fenced(self._driver.state)

    def on(self) -> None:
        self._fenced(self._driver.on)

    def off(self) -> None:
        self._fenced(self._driver.off)

    def soft_off(self) -> None:
        self._fenced(self._driver.soft_off)

    def reset(self) -> None:
        self._fenced(self._driver.reset)

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        self._fenced(lambda: self._driver.boot_from(device, persistent=persistent))

    def boot_device(self) -> BootDevice | None:
        return self._fenced(self._driver.boot_device)

    def _fenced(self, call: Callable[[], Any]) -> Any:
        with only_for(LEASE.total_seconds()):
            self._renew()
            return call()
