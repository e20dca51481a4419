"""Whether an attempt may have changed what is on a machine's disks."""

from installs.methods import METHODS
from installs.models import Install

UNTOUCHED = "untouched"  # a note: the operator says that nothing was written


def may_be_written(install: Install) -> bool:
    """By Dodai after the write grant; by an operator who took it, unless they say that they wrote nothing."""
    if install.granted_at is not None:
        return True
    method = METHODS.get(install.method)
    if method is None or not method.by_operator:
        return False
    names = set(install.events.exclude(by="").values_list("name", flat=True))
    return "taken" in names and UNTOUCHED not in names
