"""What the commands share."""

import getpass
from typing import TypeVar

from django.core.management.base import CommandError

from machines.models import Cluster, Machine, MachineType

Named = TypeVar("Named", Cluster, MachineType)


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


def type_named(name: str) -> MachineType:
    return _named(MachineType, "machine type", name)


def cluster_named(name: str) -> Cluster:
    return _named(Cluster, "cluster", name)


def _named(model: type[Named], what: str, name: str) -> Named:
    found = model._default_manager.filter(name=name).first()
    if found is None:
        known = ", ".join(model._default_manager.order_by("name").values_list("name", flat=True)[:10])
        raise CommandError(f"there is no {what} {name!r}; there are: {known or 'none, make one in the browser'}")
    return found
