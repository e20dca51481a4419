"""What an install leaves behind when it is cancelled, said beforehand, and what it left when it has ended."""

from django.utils.translation import gettext as _

from dodaiweb.stored_words import told
from installs.lifecycle import State
from installs.models import Event, Install
from installs.written import may_be_written


def if_cancelled(install: Install) -> str:
    """For the question before cancelling. Two queries at most."""
    if install.state == State.QUEUED:
        return _("Nothing was begun: the machine stays as it is.")
    if install.is_inspection:
        return _("It writes nothing. The machine is off afterwards.")
    if install.method == "erase":
        return _("Its disks count as not erased: nobody gets it before they are.")
    if install.image_id is None:
        return _("What was done so far stays. The machine can be handled again afterwards.")
    if may_be_written(install) and install.granted_at is None:
        return _("An operator is at work on it: tell them. What they have written stays.")
    if install.granted_at is None:
        if install.boots.exists():
            return _("No disk was written. The machine is switched off.")
        return _("No disk was written. The machine stays as it is now, on or off.")
    if _is_written(install):
        return _("The disk is written already. The machine is left to start from it, but counts as not installed.")
    return _("Its disk %(disk)s is half-written: what was on it is lost, and it will not start. "
             "The machine is switched off.") % {"disk": disk_of(install)}  # fmt: skip


def left_behind(install: Install) -> list[str]:
    """Sentences about an attempt that failed or was cancelled."""
    words = [told(install.left_behind)] if install.left_behind else []
    if install.granted_at and install.image_id:
        if _is_written(install):
            words.append(_("Its disk %(disk)s was written to the end.") % {"disk": disk_of(install)})
        else:
            words.append(_("Its disk %(disk)s is half-written: install it again.") % {"disk": disk_of(install)})
    return words


def disk_of(install: Install) -> str:
    disk = install.plan.get("disk") or {}
    return str(disk.get("serial") or disk.get("wwn") or "")


def _is_written(install: Install) -> bool:
    return install.events.filter(kind=Event.Kind.MACHINE, name="install_reboot").exists()
