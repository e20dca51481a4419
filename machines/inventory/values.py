"""What stands in a cell, as the model wants it."""

import uuid as uuid_module
from ipaddress import ip_interface
from typing import Any

from django.utils.translation import gettext as _

from machines import identity
from machines.inventory import schema
from machines.inventory.reading import Cell
from machines.inventory.schema import Kind

YES, NO = ("yes", "true", "1", "on"), ("no", "false", "0", "off")
SKIP: Any = object()
"""The cell says nothing worth keeping, like a serial number that every machine of a vendor has."""


def value_of(kind: Kind, column: str, cell: Cell) -> Any:
    """The value for the model, or SKIP. Raises ValidationError or ValueError with words."""
    model_field: Any = kind.model._meta.get_field(schema.attribute(column))
    if cell.text is None:
        return model_field.clean(None if model_field.null else model_field.get_default(), None)
    if kind is schema.INTERFACE and column == "mac":
        return identity.normal_mac(cell.text)
    if kind is schema.BMC and column == "host":
        return identity.normal_host(model_field.clean(cell.text, None))
    if kind is schema.MACHINE and column == "serial":
        return identity.normal_serial(cell.text) or SKIP
    if kind is schema.MACHINE and column == "uuid":
        return _system_uuid(cell.text)
    if model_field.get_internal_type() == "BooleanField":
        return _yes_or_no(cell.text)
    if kind is schema.INTERFACE and column == "address":
        return _address(cell.text)
    if model_field.choices and cell.text not in dict(model_field.flatchoices):
        raise ValueError(_("choose one of %(names)s") % {"names": ", ".join(dict(model_field.flatchoices))})
    return model_field.clean(cell.text, None)


def _system_uuid(text: str) -> Any:
    try:
        uuid_module.UUID(text)
    except ValueError as exc:
        raise ValueError(_("%(text)s is no UUID") % {"text": text}) from exc
    return identity.normal_uuid(text) or SKIP


def _address(text: str) -> str:
    try:
        if "/" not in text:
            raise ValueError(text)
        return str(ip_interface(text))
    except ValueError as exc:
        raise ValueError(_("%(text)s is no address with prefix, like 10.0.0.7/24") % {"text": text}) from exc


def _yes_or_no(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise ValueError(_("write yes or no"))
    return text.lower() in YES
