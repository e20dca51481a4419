"""Erases released machines whose time to undo is over. Any number of watchdogs may run it, in any process."""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils.timezone import now

from installs import actions, sweep
from installs.releasing import erasing
from machines.lifecycle import State
from machines.models import Machine

logger = logging.getLogger(__name__)

BY = "the end of the time to undo"
AGAIN_AFTER = timedelta(minutes=5)


def erase_due() -> int:
    """Begin to erase each machine that is due; of several watchdogs one does. Returns how many this one began.

    A machine that cannot be erased now stays released, and is looked at again after AGAIN_AFTER.
    """
    began, moment = 0, now()
    sweep.beat()  # a clock that was set forward before `moment` is noticed now, and ends no time to undo
    for machine in Machine.objects.filter(state=State.RELEASING, erase_at__lte=moment, handled_by=""):
        with transaction.atomic():
            locked = Machine.objects.select_for_update(of=("self",), no_key=True)
            if locked.filter(pk=machine.pk, state=State.RELEASING, erase_at=machine.erase_at, handled_by="").exists():
                began += _erase(machine)
    return began


def _erase(machine: Machine) -> bool:
    try:
        erasing.erase(machine, by=BY)
    except actions.Refused as exc:
        logger.warning("%s cannot be erased yet: %s", machine.name, exc)
        Machine.objects.filter(pk=machine.pk).update(erase_at=now() + AGAIN_AFTER)
        return False
    return True
