"""An unknown machine that asked how to boot becomes one of the inventory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
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
    with _used_up(sighting):
        machine.full_clean()
        machine.save()
        _enter_card(machine, sighting, is_pxe=True)
    return machine


def add_card(sighting: Sighting, *, name: str) -> Machine:
    """The card is of this machine of the inventory; it boots from it if it had none to boot from. Raises Refused."""
    name = name.replace("\0", "").strip()[:63]
    machine = Machine.objects.filter(name=name).first()
    if machine is None:
        raise Refused(_("There is no machine %(name)s in the inventory: choose one of the list.") % {"name": name})
    with _used_up(sighting):
        _enter_card(machine, sighting, is_pxe=not machine.interfaces.filter(is_pxe=True).exists())
    return machine


def dismiss(sighting: Sighting) -> None:
    """Forget it until it asks again."""
    sighting.delete()
    doorbell.tell_pages()


@contextmanager
def _used_up(sighting: Sighting) -> Iterator[None]:
    """All of it or nothing, and by one person only: the row is locked until it is gone. Raises Refused."""
    try:
        with transaction.atomic():
            if not Sighting.objects.select_for_update().filter(pk=sighting.pk).exists():
                raise Refused(
                    _("%(mac)s is no sighting any more: somebody else entered or forgot it.") % {"mac": sighting.mac}
                )
            yield
            sighting.delete()
    except ValidationError as exc:
        raise Refused(" ".join(exc.messages)) from exc
    except IntegrityError as exc:  # another entry took the name, a serial number or the MAC after they were checked
        raise Refused(
            _("Somebody else entered a machine with the same name, serial number or MAC just now: look at it first.")
        ) from exc


def _enter_card(machine: Machine, sighting: Sighting, *, is_pxe: bool) -> None:
    card = Interface(machine=machine, mac=sighting.mac, is_pxe=is_pxe)
    card.full_clean()
    card.save()
    doorbell.tell_pages(machine=machine.pk)
