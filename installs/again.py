"""Which attempts that failed may be tried again by a click, and why others may not."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from installs.models import Install

_TYPED = gettext_lazy("%(what)s is not tried again by a click: open %(name)s, and ask for it there.")
ANEW = {
    # Weeks later somebody else may have the machine, and whoever asks for these types its name.
    "release": _TYPED,
    "erase": _TYPED,
    "hand-over": gettext_lazy("%(what)s of %(name)s is not tried again: ask for a machine anew."),
}
"""By the slugs of operations."""


def why_not(install: Install) -> str:
    """ "" where it may. Of what puts no image on a machine only the newest attempt: it was meant for how it was then.

    Images have a plan that was approved, and are compared with it.
    """
    if install.image_id is not None:
        return ""
    if install.method in ANEW:
        return str(ANEW[install.method]) % {"what": install, "name": install.machine.name}
    later = Install.objects.filter(machine=install.machine_id, pk__gt=install.pk).order_by("-pk").first()
    if later is None:
        return ""
    words = _("%(later)s came after %(what)s: open %(name)s, and look what it needs now.")
    return words % {"later": later, "what": install, "name": install.machine.name}
