"""Fills the pool up to each level, within limits: with what runs an older state of its image, then with free machines.

A turn is one transaction that locks the level and begins one install; any process may take it, and one that dies in
between has done nothing.
"""

import logging
from datetime import timedelta

from django.db import DatabaseError, connection, transaction
from django.utils.timezone import now
from django.utils.translation import override

from installs import actions, plan
from installs.allocation import asking
from installs.allocation.placement import Candidate, Wanted
from installs.allocation.pool import Stock, stock
from installs.lifecycle import State as InstallState
from installs.models import Install, PoolLevel
from machines import doorbell
from machines.lifecycle import State
from machines.models import Machine

logger = logging.getLogger(__name__)

AFTER_A_FAILURE = timedelta(minutes=15)
MOST_FAILURES = 3  # of one machine in a row: somebody should look at it, before the pool wears it out
ASKER = "the pool"


def take_all() -> None:
    """Begin the installs that are missing now."""
    for number in PoolLevel.objects.values_list("pk", flat=True):
        try:
            take(number)
        except DatabaseError:
            raise
        except Exception:  # of this one alone: the others, and all deadlines, go on
            logger.exception("level %s of the pool: its turn", number)


def take(number: int) -> None:
    """Turns of one level, until nothing more can begin now. Each begins one install at most, so that nobody who wants
    two machines or images at once waits for another one who does.
    """
    while _take_one(number):
        pass


def _take_one(number: int) -> bool:
    """One turn; whether it began an install."""
    with transaction.atomic(), override("en"):
        skip = connection.features.has_select_for_update_skip_locked
        known = PoolLevel.objects.select_related("type", "image").select_for_update(of=("self",), skip_locked=skip)
        level = known.filter(pk=number).first()
        if level is None or (level.pause_until and level.pause_until > now()):
            return False
        problem = _pause(level)
        began = False
        if not problem:
            began, problem = _fill(level, stock(level))
        if problem != level.problem:
            level.problem = problem
            level.save(update_fields=["problem", "pause_until"])
            doorbell.tell_pages()
        return began


def _fill(level: PoolLevel, found: Stock) -> tuple[bool, str]:
    """Whether an install began; else why none can, "" where none is missing or no more may go on at once.

    What runs an older state of the image is of no use to anybody, so it comes before machines that are free.
    """
    if level.image.retired_at:
        return False, f"The image {level.image.name} is retired." if found.missing else ""
    if not found.missing or len(found.installing) >= level.at_once:
        return False, level.problem if found.missing else ""
    problems = []
    for machine in (*_old(level, found), *_free(level)):
        if not (problem := _install(machine, level)):
            return True, ""
        problems.append(problem)
    problems.append(f"{found.missing} more wanted: no machine of the type {level.type.name} is free for it.")
    return False, " ".join(problems)


def _old(level: PoolLevel, found: Stock) -> list[Machine]:
    """Outdated ones that nobody else has, and that can be installed."""
    numbers = [each.machine.pk for each in found.outdated]
    machines = list(asking.of_type(level.type).filter(pk__in=numbers).order_by("name"))
    kept = {each.name for each in asking.candidates(machines, level.image) if not _is_kept(each)}
    return [each for each in machines if each.name in kept and not plan.for_install(each, level.image).problems]


def _is_kept(machine: Candidate) -> bool:
    """From the pool, by something that does not go with what it runs."""
    hands = (machine.handled_by, machine.reserved_for, machine.owner, machine.cluster)
    return machine.is_protected or machine.is_unerased or any(hands) or machine.failures >= MOST_FAILURES


def _free(level: PoolLevel) -> list[Machine]:
    """The free one whose turn it is, if there is one."""
    machines = {machine.name: machine for machine in asking.of_type(level.type).filter(state=State.FREE)}
    worn = {each.name for each in asking.candidates(machines.values(), level.image) if each.failures >= MOST_FAILURES}
    fit = {name: machine for name, machine in machines.items() if name not in worn}
    placed, _plans = asking.place(fit, level.image, Wanted(level.type.name, asking.WANTED, 1))
    return [machines[name] for name in placed.cold]


def _install(machine: Machine, level: PoolLevel) -> str:
    """Why it could not begin, "" where it did."""
    try:
        actions.start_install(machine, level.image, by=ASKER, for_pool=True, is_capped=False)
        return ""
    except actions.Refused as exc:
        return str(exc)


def _pause(level: PoolLevel) -> str:
    """An install for it failed a moment ago: wait, lest one fault is played on every machine."""
    since = now() - AFTER_A_FAILURE
    ended = Install.objects.filter(is_for_pool=True, image=level.image, machine__type=level.type, ended_at__gt=since)
    failed = ended.filter(state=InstallState.FAILED, retries=None).select_related("machine").order_by("-pk").first()
    if failed is None or failed.ended_at is None or (level.pause_until and failed.ended_at < level.pause_until):
        return ""
    level.pause_until = failed.ended_at + AFTER_A_FAILURE
    return f"Paused until {level.pause_until:%H:%M} UTC: {failed} of {failed.machine.name} failed ({failed.cause})."
