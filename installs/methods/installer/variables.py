"""The secret variables of an image: lines `name: value`, sealed in the row, seen in clear only by the installer."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from installs.images import metadata
from installs.models import Image

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
FIELD = "variables"


def of(image: Image) -> dict[str, str]:
    """Name -> value, in clear."""
    return parse(str(metadata.secrets_of(image).get(FIELD, "")))


def parse(text: str) -> dict[str, str]:
    """Raises ValidationError for a line that is no `name: value`, or for a name that stands there twice."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not NAME.fullmatch(name):
            raise ValidationError(
                _("Line %(n)d is not “name: value”; a name has letters, digits and _.") % {"n": number}
            )
        if name in found:
            raise ValidationError(_("Line %(n)d names %(name)s a second time.") % {"n": number, "name": name})
        found[name] = value
    return found


def dummy(name: str) -> str:
    """What a preview shows for a secret; it passes for a hash, as most of them are."""
    return f"$6$hidden$secrets.{name}"
