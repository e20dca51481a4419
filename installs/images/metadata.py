"""What the method of an image asks for beside the file: checked by the method's own form, secrets sealed."""

import json
from typing import Any

from django import forms
from django.core.serializers.json import DjangoJSONEncoder

from dodaiweb import keys
from installs import ways
from installs.methods import METHODS
from installs.models import Image

PURPOSE = "image secrets"
PREFIX = "metadata"
PLACES = range(1, 1 + ways.MOST_FALLBACKS)


def form_of(method: str) -> type[forms.Form] | None:
    known = METHODS.get(method)
    return known.metadata_form if known else None


def bound(image: Image, data: Any) -> forms.Form | None:
    """The form of the image's method, with what was sent; its names begin with PREFIX."""
    form = form_of(image.method)
    return form(data, prefix=PREFIX, initial=image.metadata) if form else None


def prefix_of(way: int) -> str:
    """How the names of a fallback's fields begin; that of its method is the prefix itself."""
    return f"fallback{way}"


def chosen(image: Image, data: Any | None) -> dict[str, str]:
    """Prefix -> method of a fallback, "" for none: as they were sent, or as the image has them."""
    stored = dict(zip(PLACES, (fallback["method"] for fallback in image.fallbacks), strict=False))
    given = {way: stored.get(way, "") if data is None else str(data.get(prefix_of(way), "")) for way in PLACES}
    offered = ways.offered(image)
    return {prefix_of(way): method if method in offered else "" for way, method in given.items()} if offered else {}


def bound_fallbacks(image: Image, data: Any) -> list[tuple[str, forms.Form]]:
    """(method, its form with what was sent) for each place in which one was chosen."""
    sent = chosen(image, data).items()
    return [(method, (form_of(method) or forms.Form)(data, prefix=prefix)) for prefix, method in sent if method]


def store_fallbacks(image: Image, sent: list[tuple[str, forms.Form]]) -> None:
    """Set the column from valid forms. The caller saves."""
    image.fallbacks = [{"method": method, "metadata": plain(form)} for method, form in sent]


def plain(form: forms.Form) -> dict[str, Any]:
    """What a valid form was given, as plain JSON."""
    given: dict[str, Any] = json.loads(json.dumps(form.cleaned_data, cls=DjangoJSONEncoder))
    return given


def store(image: Image, form: forms.Form) -> None:
    """Set the columns from a valid form. A secret left empty stays as it was. The caller saves."""
    given = plain(form)
    names = secret_names(type(form))
    image.metadata = {name: value for name, value in given.items() if name not in names}
    kept = secrets_of(image) | {name: given[name] for name in names if given.get(name)}
    image.secrets_sealed = keys.encrypt(json.dumps(kept), purpose=PURPOSE) if kept else ""


def secrets_of(image: Image) -> dict[str, Any]:
    """The secret values in clear, by their names."""
    found: dict[str, Any] = {}
    if image.secrets_sealed:
        found = json.loads(keys.decrypt(image.secrets_sealed, purpose=PURPOSE))
    return found


def secret_names(form: type[forms.Form]) -> tuple[str, ...]:
    """Fields that the form itself calls secret."""
    return tuple(getattr(form, "secret_fields", ()))
