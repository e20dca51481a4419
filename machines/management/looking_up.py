"""What the commands share."""

import getpass

from django.core.management.base import CommandError

from machines.models import Machine


def machine_named(name: str) -> Machine:
    machine = Machine.objects.select_related("site", "type").filter(name=name).first()
    if machine is None:
        near = ", ".join(Machine.objects.filter(name__icontains=name[:3]).values_list("name", flat=True)[:5])
        hint = f"; did you mean {near}?" if near else ": import machines, or add one in the browser"
        raise CommandError(f"there is no machine {name!r}{hint}")
    return machine


def asker() -> str:
    """Who to name in the history: the user of the operating system."""
    return f"{getpass.getuser()} (command line)"
