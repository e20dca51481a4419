"""Gives an installer its answers, which hold secrets, once the machine has shown that it is the one of the plan."""

from dataclasses import dataclass

from django.db import transaction

from installs import ending, grant
from installs.lifecycle import GOING_ON
from installs.methods.installer import answers
from installs.models import Boot, add_alert
from installs.rows import lock
from machines.facts import Facts


@dataclass(frozen=True)
class Given:
    text: str
    before: str


@dataclass(frozen=True)
class Nothing:
    """This attempt has no answers: 404."""


def ask(boot: Boot, facts: Facts) -> Given | Nothing | grant.Refused | grant.Over:
    """Decide whether this kernel boot gets the answers of its attempt; again for who asks again.

    The disk is not looked at: some installers know it only when they have read the answers. It is at the grant.
    """
    with transaction.atomic():
        install = lock(boot.install_id)
        if install.state not in GOING_ON:
            return grant.Over()
        if problem := grant.wrong_boot(install, boot, facts):
            add_alert(install, "answers-refused", problem)
            return grant.Refused(problem)
        if difference := grant.machine_difference(install, facts):
            reason = f"{install.machine.name}: {difference[1]}. Nothing was written."
            ending.stop_locked(install, cause=difference[0], error=reason)
            return grant.Refused(reason)
    text, before = answers.of_install(install)
    return Given(text, before) if text else Nothing()
