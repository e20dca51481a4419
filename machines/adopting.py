"""An unknown machine that asked how to boot becomes one of the inventory."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from machines import doorbell
from machines.actions import Refused
from machines.models import Interface, Machine, Sighting, Site


def adopt(sighting: Sighting, *, name: str) -> Machine:
    """Enter it by the card that was seen, with what it said of itself. Raises Refused; then nothing is entered."""
    site = Site.objects.filter(is_practice=False).order_by("pk").first()
    if site is None:
        raise Refused(_("There is no site for real machines: add one in the admin first."))
    machine = Machine(name=name.strip(), site=site, serial=sighting.serial, uuid=sighting.uuid)
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
