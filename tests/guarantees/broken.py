"""The guards of the engine, each taken out on purpose: schedules must then find what it kept from happening."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from django.db import connection

from installs import boot, by_hand, callbacks, ending, fallbacks, grant, lifecycle, sweep
from installs.claim import Claim
from installs.lifecycle import State
from installs.models import Boot, Install
from installs.rows import lock
from machines.power.base import Power


def fence() -> AbstractContextManager[Any]:
    """A worker whose lease ran out sends its command all the same."""
    return mock.patch.object(Claim, "renew")


def check_before_storing() -> AbstractContextManager[Any]:
    """A worker that lost its install stores its outcome all the same."""
    return mock.patch.object(Claim, "check")


@contextmanager
def state_check() -> Iterator[None]:
    """What has ended may be stopped, and the table is not asked."""
    with (
        mock.patch.object(lifecycle, "GOING_ON", frozenset(State)),
        mock.patch.object(lifecycle, "after", lambda state, event: lifecycle.TRANSITIONS[event][1]),
    ):
        yield


def grant_once() -> AbstractContextManager[Any]:
    """Whoever asks for the grant is the one it was given to."""
    return mock.patch.object(grant, "wrong_boot", return_value="")


def grant_of_live_attempts() -> AbstractContextManager[Any]:
    """The grant does not ask whether the attempt goes on."""

    def locked(install_id: int) -> Install:
        install = lock(install_id)
        install.state = State.RUNNING
        return install

    return mock.patch.object(grant, "lock", locked)


def boot_answer_of_live_attempts() -> AbstractContextManager[Any]:
    """A failed attempt still boots the ramdisk."""
    states = SimpleNamespace(RUNNING=State.FAILED, WAITING=State.WAITING, INSTALLED=State.INSTALLED)
    return mock.patch.object(boot, "State", states)


def deadlines() -> AbstractContextManager[Any]:
    """Nobody gives up what is overdue."""
    return mock.patch.object(sweep, "_give_up")


@contextmanager
def one_live_install() -> Iterator[None]:
    """The database lets two live installs have one machine."""
    [rule] = [each for each in Install._meta.constraints if each.name == "one_live_install_per_machine"]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {rule.name}")
    yield


def stopping() -> AbstractContextManager[Any]:
    """An attempt ends without its machine being switched off first."""
    return mock.patch.object(ending, "_must_be_off", return_value=False)


def reading_back() -> AbstractContextManager[Any]:
    """The BMC's yes is believed: nobody reads back whether the machine is off."""
    real = ending.end

    def end(claim: Claim) -> None:
        with mock.patch.object(type(claim.power), "state", return_value=Power.OFF):
            real(claim)

    return mock.patch.object(ending, "end", end)


def token() -> AbstractContextManager[Any]:
    """Whoever has no token is taken for the newest boot."""
    real = callbacks._installer
    return mock.patch.object(callbacks, "_installer", lambda request: real(request) or Boot.objects.last())


def protection() -> AbstractContextManager[Any]:
    """The grant does not ask whether the machine is protected."""
    real = grant._difference
    return mock.patch.object(
        grant, "_difference", lambda *about: found if (found := real(*about))[0] != "protected" else ("", "")
    )


def causes_of_fallbacks() -> AbstractContextManager[Any]:
    """Whatever an attempt failed of, the next method is tried."""
    return mock.patch.object(fallbacks, "survives", return_value=True)


def protection_from_operators() -> AbstractContextManager[Any]:
    """Who takes an install by hand is not told that its machine is protected."""
    return mock.patch.object(by_hand, "untouchable", SimpleNamespace(why=lambda machine: ("", "")))
