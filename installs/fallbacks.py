"""What an image is installed by when its method has failed: the next one that the cause leaves a chance.

A fallback is a new attempt, made in the transaction that ends the failed one: no process may die in between, and no
other install can come between the two. Nobody is asked again, so it does no more than what was confirmed: the same
machine, disk, image and layout, by a method and settings that the approved plan names.
"""

import logging
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.utils.translation import override

from installs import creating, plan, ways
from installs.lifecycle import State
from installs.methods.base import InstallMethod
from installs.models import AllocationMachine, Event, Install, WaveMachine, add_event
from machines.models import Machine

logger = logging.getLogger(__name__)


class Next(StrEnum):
    """Which other methods a cause leaves a chance."""

    ANY = "any"  # what failed is the method's own business
    BY_HAND = "by hand"  # what failed is what all others need as well: BMC, network boot, the image's file
    NONE = "none"  # somebody has to decide


CAUSES = {
    "answers": Next.ANY,
    "bmc-refused": Next.BY_HAND,
    "bmc-silent": Next.BY_HAND,
    "bootloader": Next.ANY,
    "bug": Next.ANY,
    "busy": Next.ANY,
    "cancelled": Next.NONE,
    "cannot-be-done": Next.NONE,
    "digest": Next.BY_HAND,
    "disk": Next.NONE,
    "fetch": Next.ANY,
    "hand-over": Next.NONE,
    "identity": Next.NONE,
    "image": Next.ANY,
    "no-first-boot": Next.ANY,
    "no-netboot": Next.BY_HAND,
    "no-operator": Next.ANY,
    "own-host": Next.NONE,
    "plan": Next.NONE,
    "port": Next.NONE,
    "power": Next.BY_HAND,
    "power-lost": Next.BY_HAND,
    "protected": Next.NONE,
    "script": Next.ANY,
    "settings": Next.ANY,
    "silent": Next.ANY,
    "site-refused": Next.NONE,
    "space": Next.NONE,
    "wrong-host": Next.NONE,
}
OTHERWISE = Next.ANY  # a cause that the script of a method named by itself
SAME = ("identity", "disk", "layout", "image_kernel_args", "first_boot_commands", "fallbacks")
"""Entries of the plan that are the same in all attempts of a chain."""


def survives(method: InstallMethod, cause: str) -> bool:
    """Whether this method has a chance after that failure of another one."""
    leaves = CAUSES.get(cause, OTHERWISE)
    return leaves == Next.ANY or (leaves == Next.BY_HAND and method.by_operator)


def go_on(failed: Install, machine: Machine) -> Install | None:
    """Begin the next attempt, if there is one. Called in the transaction that ended `failed`, the machine locked.

    Never raises: a fault here must not keep an install from ending.
    """
    if failed.state != State.FAILED or failed.image is None:
        return None
    for way in ways.numbers(failed.image)[failed.fallback + 1 :]:
        method = ways.method_by(failed.image, way)
        if method is None or not survives(method, failed.cause):
            continue
        try:
            with transaction.atomic(), override("en"):
                return _begin(failed, machine, way)
        except _Refused as exc:
            why = str(exc)
        except Exception as exc:
            logger.exception("install %s: no fallback", failed.pk)
            why = f"a fault in Dodai itself ({type(exc).__name__}): see the worker's log"
        machine.refresh_from_db()
        add_event(failed, Event.Kind.NOTE, "no-fallback", text=f"No fallback to {method.slug}: {why}")
    return None


class _Refused(Exception):
    """The fallback would not be what was approved, or cannot be."""


def _begin(failed: Install, machine: Machine, way: int) -> Install:
    assert failed.image is not None
    made = plan.for_install(machine, failed.image, way=way)
    if not made.is_possible:
        raise _Refused(" ".join(made.problems))
    if fact := _other_fact(failed.plan, made.frozen):
        raise _Refused(f"{fact} changed after the plan was approved")
    install = creating.create(made, by=failed.requested_by, retry_of=failed, for_pool=failed.is_for_pool)
    add_event(failed, Event.Kind.NOTE, "fallback", text=f"Goes on as {install}, by the method {made.method}.")
    add_event(install, Event.Kind.NOTE, "fallback", text=f"Begun because {failed} failed: {failed.cause}.")
    for parts in (WaveMachine, AllocationMachine):  # what they wait for is the end of the chain
        parts.objects.filter(install=failed).update(install=install)
    return install


def _other_fact(approved: dict[str, Any], made: dict[str, Any]) -> str:
    """The first entry of the plan that is not as it was approved; "" where the chain goes on as it was."""
    if any(approved["attempt"][name] != made["attempt"][name] for name in ("machine", "serial")):
        return "the machine"
    for key in SAME:
        if approved.get(key) != made.get(key):
            return key.replace("_", " ")
    return "" if _content(approved["image"]) == _content(made["image"]) else "image"


def _content(image: dict[str, Any]) -> dict[str, Any]:
    """What is installed. The metadata is each method's own, and those of fallbacks stand in the plan beside it."""
    return {name: value for name, value in image.items() if name not in ("metadata", "url")}
