"""Machines that nobody may do anything to, whatever was asked before: asked anew at each step of an install."""

from machines import own_hosts
from machines.models import Machine

CAUSES = ("protected", "own-host")


def why(machine: Machine) -> tuple[str, str]:
    """(cause, sentence) for a machine that is protected, or that Dodai itself runs on; ("", "") for all others."""
    if machine.protected:
        return "protected", f"{machine.name} was protected meanwhile"
    own = own_hosts.why(machine)
    return ("own-host", own) if own else ("", "")
