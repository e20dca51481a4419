"""An unknown machine that asked how to boot becomes one of the inventory."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from machines import doorbell
from machines.actions import Refused
from machines.models import Interface, Machine, Sighting, Site


def adopt(sighting: Sighting, *, name: str, **fields: Any) -> Machine:
    """Enter it by the card that was seen, with what it said of itself. Raises Refused; then nothing is entered.

    `fields` are further columns of the machine, or others than it said.
    """
    site = Site.objects.filter(is_practice=False).order_by("pk").first()
    if site is None:
        raise Refused(_("There is no site for real machines: add one in the admin first."))
    machine = Machine(**{"name": name.strip(), "site": site, "serial": sighting.serial, "uuid": sighting.uuid} | fields)
    try:
        machine.full_clean()
        with transaction.atomic():
            machine.save()
            card = Interface(machine=machine, mac=sighting.mac, is_pxe=True)
            card.full_clean()
            card.save()
            sighting.delete()
    except ValidationError as exc:
        raise Refused(" ".join(exc.messages)) from exc
    doorbell.tell_pages(machine=machine.pk)
    return machine


def add_card(sighting: Sighting, *, name: str) -> Machine:
    """The card is of this machine of the inventory; it boots from it if it had none to boot from. Raises Refused."""
    name = name.replace("\0", "").strip()[:63]
    machine = Machine.objects.filter(name=name).first()
    if machine is None:
        raise Refused(_("There is no machine %(name)s in the inventory: choose one of the list.") % {"name": name})
    try:
        with transaction.atomic():
            is_first = not machine.interfaces.filter(is_pxe=True).exists()
            card = Interface(machine=machine, mac=sighting.mac, is_pxe=is_first)
            card.full_clean()
            card.save()
            sighting.delete()
    except ValidationError as exc:
        raise Refused(" ".join(exc.messages)) from exc
    doorbell.tell_pages(machine=machine.pk)
    return machine


def dismiss(sighting: Sighting) -> None:
    """Forget it until it asks again."""
    sighting.delete()
    doorbell.tell_pages()
