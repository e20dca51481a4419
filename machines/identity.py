"""MAC addresses, serial numbers and system UUIDs, as vendors really write them."""

import re
import uuid as uuid_module
from ipaddress import ip_address

from django.utils.translation import gettext as _

# What boards carry when nobody filled the field in; such a value identifies nothing.
JUNK_SERIALS = frozenset(
    text.lower()
    for text in (
        "", "0", "none", "n/a", "na", "null", "unknown", "default", "default string", "not specified", "not applicable",
        "to be filled by o.e.m.", "to be filled by o.e.m", "system serial number", "chassis serial number",
        "serial number", "empty", "invalid", "xxxxxxxxxx", "123456789", "1234567890", "0123456789", "0000000000",
    )
)  # fmt: skip
JUNK_UUIDS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",  # a board vendor's default, found in thousands of machines
        "00020003-0004-0005-0006-000700080009",  # the same, in the other byte order
        "fefefefe-fefe-fefe-fefe-fefefefefefe",
    }
)
MAC = re.compile(r"^[0-9a-f]{12}$")


class BadIdentity(ValueError):
    """The message says what is wrong with which value."""


def normal_mac(text: str) -> str:
    """`52:54:00:ab:cd:ef` from any usual spelling; also PXELINUX's `01-52-54-...`. Raises BadIdentity."""
    digits = re.sub(r"[-:.\s]", "", text.strip().lower())
    if len(digits) == 14 and digits.startswith("01"):  # ARP hardware type 1 in front, as PXELINUX writes it
        digits = digits[2:]
    if not MAC.match(digits):
        words = _("%(value)s is no MAC address: write six pairs of hexadecimal digits, like 52:54:00:12:34:56")
        raise BadIdentity(words % {"value": repr(text)})
    if int(digits[:2], 16) & 1 or digits == "0" * 12:
        raise BadIdentity(_("%(value)s is a group or empty address, no network card has it") % {"value": repr(text)})
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def normal_serial(text: str | None) -> str:
    """The serial number without padding, or "" when it is a placeholder."""
    cleaned = " ".join((text or "").replace("\0", " ").split())
    return "" if cleaned.lower().strip(".") in JUNK_SERIALS | {"to be filled by o.e.m"} else cleaned


def normal_uuid(text: str | None) -> str:
    """The system UUID in lower case, or "" when it is absent, junk or no UUID."""
    try:
        value = str(uuid_module.UUID((text or "").strip()))
    except ValueError:
        return ""
    return "" if value in JUNK_UUIDS or swapped_uuid(value) in JUNK_UUIDS else value


def normal_host(text: str) -> str:
    """A BMC's name or address in its one spelling."""
    cleaned = text.strip().strip("[]").lower().rstrip(".")
    try:
        return str(ip_address(cleaned))
    except ValueError:
        return cleaned


def spellings_of_uuid(value: str) -> list[str]:
    """Both byte orders of a system UUID, none where there is none."""
    return [value, swapped_uuid(value)] if value else []


def swapped_uuid(text: str) -> str:
    """The same UUID with its first three fields in the other byte order (SMBIOS 2.6, 7.2.1)."""
    return str(uuid_module.UUID(bytes_le=uuid_module.UUID(text).bytes))


def same_uuid(one: str, other: str) -> bool:
    """Whether two system UUIDs are one machine's: SMBIOS and IPMI write them in different byte orders."""
    return one == other or swapped_uuid(one) == other
