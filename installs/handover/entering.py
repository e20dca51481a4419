"""Hands the OS of a warm machine to its owner. Holds no lock and no transaction: it talks to the machine.

Whoever calls it has the machine reserved for that, and stores what came of it.
"""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from installs.handover import keypair
from installs.handover.orders import orders
from installs.handover.outcome import CONNECT, End, Outcome
from installs.handover.session import Door, go_in
from installs.models import Install, MachineKey, add_alert

NO_KEY = "Dodai has no key of its own for this OS."
NO_HOST_KEY = "The OS never told its SSH host keys."
SSH_PORT = 22


def hand_over(
    install: Install,
    told: dict[str, Any],
    *,
    address: str,
    port: int = SSH_PORT,
    noted: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Go into the OS of this install and make it as `told` (see settings_document.py). Takes a minute at most.

    After it was done the private key is forgotten, and in the same transaction `noted` is called. Raises KeyProblem
    where the stored key does not open.
    """
    kept = MachineKey.objects.filter(install=install).first()
    if kept is None or not kept.is_kept:
        return Outcome(End.UNPREPARED, failed_step=CONNECT, cause=NO_KEY)
    if not kept.host_keys:
        return Outcome(End.UNPREPARED, failed_step=CONNECT, cause=NO_HOST_KEY)
    door = Door(address, tuple(kept.host_keys), kept.private_key, port=port)
    outcome = go_in(door, orders(told, own_key=kept.public_key))
    if outcome.end == End.WRONG_HOST:
        add_alert(install, "wrong-ssh-host", outcome.cause)
    if outcome.is_done:
        with transaction.atomic():
            keypair.forget(install)
            noted(outcome)
    return outcome
